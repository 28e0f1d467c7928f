-- restore records a request as it was, without its next task.
--   ARGV[3]  request id
--   ARGV[4]  session, as the index has it
--   ARGV[5]  token hash as in the record
--   ARGV[6]  deadline, or an empty string
--   ARGV[7]  status
--   ARGV[8]  time of its newest manifest or its end, or an empty string when it has neither
--   ARGV[9]  failure (JSON) or an empty string
--   ARGV[10] fields of the record and their values, to the end
-- Returns status when it was recorded, else the status of the request that is known already with a + before it.
local id, status = ARGV[3], ARGV[7]
-- heal puts a known request back into the sets and indexes that its record calls for. They agree, unless half a script came back.
local function heal(known)
  local r = redis.call('HMGET', RECORD .. id, 'g', 'k', 'q', 'x', 'D', 'u', 'z')
  local stage, state, done = r[1], r[2], r[5]
  if not active(known) then
    if r[3] then -- it ended, and the rest of that is missing
      leave(id, stage, state)
      finish(id, r[7] and 'P' or 'Q', known, 0)
      publish(id, stage, known, 'restored')
    end
    return known
  end
  for _, entry in ipairs({{SESSIONS, ARGV[4]}, {TOKENS, ARGV[5]}}) do
    local hash, field = index(entry[1], entry[2])
    redis.call('HSETNX', hash, field, id)
  end
  if state == 'r' then
    redis.call('ZADD', READY .. stage, 'NX', r[3], id)
  elseif state == 'l' then
    redis.call('ZADD', LEASED .. stage, 'NX', r[4] or now, id)
  elseif state == 'd' then
    redis.call('ZADD', DELAYED .. stage, 'NX', r[4] or now, id)
  elseif done == string.sub(ORDER, -1) then
    finish(id, known, 'C', 0)
    publish(id, stage, 'C', 'completed')
    return 'C'
  elseif done then
    redis.call('ZADD', HANDOVER, 'NX', r[6] or now, id)
  end
  return known
end

local known = redis.call('HGET', RECORD .. id, 'S')
if known then
  known = heal(known)
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
if active(status) then
  if ARGV[6] ~= '' then plan('d' .. id, ARGV[6]) end
  if ARGV[8] ~= '' then redis.call('ZADD', HANDOVER, ARGV[8], id) end
else
  plan('k' .. id, ARGV[8] + KEEP)
  if now - ARGV[8] < RECENT then redis.call('ZADD', ENDED, now, id) end
end
become('>', status)
publish(id, redis.call('HGET', RECORD .. id, 'g'), status, 'restored')
return status
