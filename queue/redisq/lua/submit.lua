-- submit records a new request. Called by Queue.Submit.
--   ARGV[6]  request id
--   ARGV[7]  session key
--   ARGV[8]  token hash
--   ARGV[9]  deadline, or an empty string
--   ARGV[10] the submission (JSON)
--   ARGV[11] time of the submission
-- Returns the id of the request that has the session: the given one when it was recorded, now or earlier. 'token_taken' when another
-- active request has the token.
-- With requests.lua.
local id, session, token, deadline, submission, at = unpack(ARGV, 6)

local sessions, session_field = index('{q4}session:', session)
local holder = redis.call('HGET', sessions, session_field)
if holder == id then return id end
if holder then
  local status = read(holder, 'status').status
  if status and status ~= 'FAILED' and status ~= 'CANCELED' then return holder end
end
if read(id, 'status').status then return id end
local tokens, token_field = index('{q4}token:', token)
local owner = token ~= '' and redis.call('HGET', tokens, token_field)
if owner and owner ~= id and active(read(owner, 'status').status) then return 'token_taken' end

redis.call('SET', '{q4}submission:' .. id, submission)
redis.call('HSET', '{q4}request:' .. id, 'status', 'QUEUED', 'updated', at)
redis.call('HSET', sessions, session_field, id)
redis.call('HSET', tokens, token_field, id)
if deadline ~= '' then plan('deadline ' .. id, deadline) end
count('', 'QUEUED')
publish(id, nil, 'QUEUED', 'submitted')
return id
