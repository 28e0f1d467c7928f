-- restore records a request as it was, without its next task. Called by Queue.Restore.
--   ARGV[6]  request id
--   ARGV[7]  session key
--   ARGV[8]  token hash
--   ARGV[9]  deadline, or an empty string
--   ARGV[10] the last stage
--   ARGV[11] status
--   ARGV[12] time of its newest manifest or its end, or an empty string when it has neither
--   ARGV[13] failure (JSON), or an empty string
--   ARGV[14] how long ago a request may have finished to be announced, in milliseconds
--   ARGV[15] the submission (JSON)
--   ARGV[16] fields of the record and their values, to the end
-- Returns a list: status, and 1 when the request was unknown, else 0.
-- With requests.lua.
local id, session, token, deadline, last, status, at, failure, recent, submission = unpack(ARGV, 6, 15)
local sessions, session_field = index('{q4}session:', session)
local tokens, token_field = index('{q4}token:', token)

-- heal puts a known request back into the sets and indexes that its record calls for. They agree, unless half a script came back.
local function heal(r)
  if not active(r.status) then
    if r.score then -- it finished, and the rest of that is missing
      leave(id, r.stage, r.task)
      finish(id, r.started and 'PROCESSING' or 'QUEUED', r.status, now)
      publish(id, r.stage, r.status, 'restored')
    end
    return r.status
  end
  redis.call('HSETNX', sessions, session_field, id)
  redis.call('HSETNX', tokens, token_field, id)
  if r.task == 'ready' then
    redis.call('ZADD', '{q4}ready:' .. r.stage, 'NX', r.score, id)
  elseif r.task == 'leased' then
    redis.call('ZADD', '{q4}leased:' .. r.stage, 'NX', r.ends or now, id)
  elseif r.task == 'delayed' then
    redis.call('ZADD', '{q4}delayed:' .. r.stage, 'NX', r.ends or now, id)
  elseif r.done_stage == last then
    finish(id, r.status, 'COMPLETED', now)
    publish(id, r.stage, 'COMPLETED', 'completed')
    return 'COMPLETED'
  elseif r.done_stage then
    redis.call('ZADD', '{q4}handover', 'NX', r.updated, id)
  end
  return r.status
end

local known = read_all(id)
if known.status then return {heal(known), repeated and 1 or 0} end

redis.call('SET', '{q4}submission:' .. id, submission)
redis.call('HSET', '{q4}request:' .. id, 'status', status, unpack(ARGV, 16))
if status == 'FAILED' or status == 'CANCELED' then -- does not take its session from another
  redis.call('HSETNX', sessions, session_field, id)
else
  redis.call('HSET', sessions, session_field, id)
end
redis.call('HSET', tokens, token_field, id)
if failure ~= '' then redis.call('HSET', '{q4}report:' .. id, 'failure', failure) end
if active(status) then
  if deadline ~= '' then plan('deadline ' .. id, deadline) end
  if at ~= '' then redis.call('ZADD', '{q4}handover', at, id) end
else
  plan('forget ' .. id, at + keep_finished)
  if now - at < tonumber(recent) then redis.call('ZADD', '{q4}finished', now, id) end
end
count('', status)
publish(id, redis.call('HGET', '{q4}request:' .. id, 'stage'), status, 'restored')
return {status, 1}
