-- handovers lists completed stages whose next task is missing.
--   ARGV[3]  latest completion that counts
--   ARGV[4]  how many at most
-- Returns for each, the earliest first: request id, then its manifest as m mg of the record.
local lost = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', HANDOVER, '-inf', ARGV[3], 'LIMIT', 0, ARGV[4])) do
  lost[#lost + 1] = {id, unpack(redis.call('HMGET', RECORD .. id, 'm', 'mg'))}
end
return lost
