-- finished_since counts the requests that finished since it was last called, by whichever program. Called by Queue.Reap.
-- Returns a list: how many were completed, failed and canceled; 0 of each when it was never called. A repeated call repeats its answer.
local counts = {}
for i, status in ipairs({'COMPLETED', 'FAILED', 'CANCELED'}) do
  local n = redis.call('HMGET', '{q4}counts', 'QUEUED>' .. status, 'PROCESSING>' .. status)
  counts[i] = (n[1] or 0) + (n[2] or 0)
end
local r = redis.call('HMGET', '{q4}reaped', 'finished', 'before', 'at')
local last, before_that, at = r[1], r[2], r[3]
local newest, before = cjson.encode(counts), last
if repeated and at == now then
  newest, before = last, before_that
else
  redis.call('HSET', '{q4}reaped', 'finished', newest, 'before', before or newest, 'at', now)
end
local to, from = cjson.decode(newest), cjson.decode(before or newest)
return {to[1] - from[1], to[2] - from[2], to[3] - from[3]}
