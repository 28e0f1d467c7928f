-- restore records a request as it was, without its next task.
--   ARGV[3]  request id
--   ARGV[4]  session id
--   ARGV[5]  token hash as in the record
--   ARGV[6]  deadline, or an empty string
--   ARGV[7]  status
--   ARGV[8]  time of its newest manifest or its end, or an empty string when it has neither
--   ARGV[9]  failure (JSON) or an empty string
--   ARGV[10] fields of the record and their values, to the end
-- Returns status when it was recorded, else the status of the request that is known already with a + before it.
local id, status = ARGV[3], ARGV[7]
local known = redis.call('HGET', RECORD .. id, 'S')
if known then
  if again then return known end
  return '+' .. known
end
redis.call('HSET', RECORD .. id, 'S', status, unpack(ARGV, 10))
local session, field = index(SESSIONS, ARGV[4])
if status == 'F' or status == 'X' then -- does not take its session from another
  redis.call('HSETNX', session, field, id)
else
  redis.call('HSET', session, field, id)
end
local token
token, field = index(TOKENS, ARGV[5])
redis.call('HSET', token, field, id)
if ARGV[9] ~= '' then
  redis.call('HSET', RECORD .. id, 'E', 1)
  redis.call('HSET', EXTRA .. id, 'f', ARGV[9])
end
if status == 'Q' or status == 'P' then
  if ARGV[6] ~= '' then plan('d' .. id, ARGV[6]) end
  if ARGV[8] ~= '' then redis.call('ZADD', HANDOVER, ARGV[8], id) end
else
  plan('k' .. id, ARGV[8] + KEEP)
end
become('>', status)
publish(id, redis.call('HGET', RECORD .. id, 'g'), status, 'restored')
return status
