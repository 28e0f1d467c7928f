-- finished_since counts the requests that finished since it was last called, by whichever program. Called by Queue.Reap.
-- Returns a list: how many were completed, failed and canceled; 0 of each when it was never called. A repeated call repeats its answer.
local counts = {}
for i, status in ipairs({'COMPLETED', 'FAILED', 'CANCELED'}) do
  local n = redis.call('HMGET', COUNTS, 'QUEUED>' .. status, 'PROCESSING>' .. status)
  counts[i] = (n[1] or 0) + (n[2] or 0)
end
local r = read_all(REAPED)
local newest, before = cjson.encode(counts), r.finished
if repeated and r.at == now then
  newest, before = r.finished, r.before
else
  redis.call('HSET', REAPED, 'finished', newest, 'before', before or newest, 'at', now)
end
local to, from = cjson.decode(newest), cjson.decode(before or newest)
return {to[1] - from[1], to[2] - from[2], to[3] - from[3]}
