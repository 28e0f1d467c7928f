-- submit records a new request.
--   ARGV[3]  request id
--   ARGV[4]  session, as the index has it
--   ARGV[5]  token hash as in the record
--   ARGV[6]  deadline, or an empty string
--   ARGV[7]  fields of the record and their values, to the end
-- Returns the id of the request that has the session: the given one when it was recorded, now or earlier. An exclamation mark when
-- another request that goes on has the token.
local id = ARGV[3]
local session, field = index(SESSIONS, ARGV[4])
local holder = redis.call('HGET', session, field)
if holder then
  if holder == id then return id end
  local status = redis.call('HGET', RECORD .. holder, 'S')
  if status and status ~= 'F' and status ~= 'X' then return holder end
end
if redis.call('EXISTS', RECORD .. id) == 1 then return id end
local token, place = index(TOKENS, ARGV[5])
local owner = ARGV[5] ~= '=' and redis.call('HGET', token, place)
if owner and owner ~= id and active(redis.call('HGET', RECORD .. owner, 'S')) then return '!' end
redis.call('HSET', RECORD .. id, 'S', 'Q', unpack(ARGV, 7))
redis.call('HSET', session, field, id)
redis.call('HSET', token, place, id)
if ARGV[6] ~= '' then plan('d' .. id, ARGV[6]) end
become('>', 'Q')
publish(id, nil, 'Q', 'submitted')
return id
