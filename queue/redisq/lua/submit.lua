-- submit records a new request.
--   ARGV[3]  request id
--   ARGV[4]  session, as the index has it
--   ARGV[5]  token hash as in the record
--   ARGV[6]  deadline, or an empty string
--   ARGV[7]  fields of the record and their values, to the end
-- Returns the id of the request that has the session: the given one when it was recorded, now or earlier.
local id = ARGV[3]
local session, field = index(SESSIONS, ARGV[4])
local holder = redis.call('HGET', session, field)
if holder then
  if holder == id then return id end
  local status = redis.call('HGET', RECORD .. holder, 'S')
  if status and status ~= 'F' and status ~= 'X' then return holder end
end
if redis.call('EXISTS', RECORD .. id) == 1 then return id end
redis.call('HSET', RECORD .. id, 'S', 'Q', unpack(ARGV, 7))
redis.call('HSET', session, field, id)
local token
token, field = index(TOKENS, ARGV[5])
redis.call('HSET', token, field, id)
if ARGV[6] ~= '' then plan('d' .. id, ARGV[6]) end
become('>', 'Q')
publish(id, nil, 'Q', 'submitted')
return id
