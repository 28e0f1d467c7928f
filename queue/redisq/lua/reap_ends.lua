-- reap_ends counts the requests that ended since it was last called, by whichever program.
-- Returns how many were completed, failed and canceled; none of each when it was never called. Tried again, it repeats its answer.
local ends = {}
for i, status in ipairs({'C', 'F', 'X'}) do
  local n = redis.call('HMGET', COUNTS, 'Q' .. status, 'P' .. status)
  ends[i] = (n[1] or 0) + (n[2] or 0)
end
local r = redis.call('HMGET', REAPED, 'ends', 'before', 'at')
local newest, before = table.concat(ends, ' '), r[1]
if again and r[3] == now then
  newest, before = r[1], r[2]
else
  redis.call('HSET', REAPED, 'ends', newest, 'before', before or newest, 'at', now)
end
local a, since = string.gmatch(newest, '%d+'), string.gmatch(before or newest, '%d+')
return {a() - since(), a() - since(), a() - since()}
