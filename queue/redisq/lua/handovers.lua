-- handovers lists completed stages whose next task is missing.
--   ARGV[3]  latest completion that counts
--   ARGV[4]  how many at most
-- Returns for each, the earliest first: request id, then its manifest as m mg of the record.
local lost = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', HANDOVER, '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])) do
  local r = redis.call('HMGET', RECORD .. id, 'm', 'mg', 'S', 'k')
  if r[1] and r[2] and active(r[3]) and (r[4] or '') == '' then
    lost[#lost + 1] = {id, r[1], r[2]}
  else -- half a script: it goes on already, or has ended
    redis.call('ZREM', HANDOVER, id)
  end
end
return lost
