-- handovers lists completed stages whose next task is missing.
--   ARGV[3]  latest completion that counts
--   ARGV[4]  how many at most
-- Returns for each, the earliest first: request id, then its manifest as m mg of the record.
local lost = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', HANDOVER, '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])) do
  local m = redis.call('HMGET', RECORD .. id, 'm', 'mg')
  if m[1] and m[2] then
    lost[#lost + 1] = {id, m[1], m[2]}
  else -- half a script, see restore
    redis.call('ZREM', HANDOVER, id)
  end
end
return lost
