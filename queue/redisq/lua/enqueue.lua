-- enqueue makes tasks ready, each once.
--   ARGV[3]  request id
--   ARGV[4]  stage, [5] the stage before it or an empty string
--   ARGV[6]  input: bucket and name, [7] generation, size, crc32c and content type
--   and these five for every further task
-- Returns a letter for each: a added, k known already, n no such request, e the request has ended.
local function order(s) return s and string.find(ORDER, s, 1, true) or 0 end

local function enqueue(id, stage, previous, where, rest)
  local record = RECORD .. id
  local r = redis.call('HMGET', record, 'S', 'D', 'g', 'k', 'p', 'i', 'ig', 'f', 'e')
  local status, done, current, state, priority = r[1], r[2], r[3], r[4] or '', r[5] or '0'
  if not status then return 'n' end
  if not active(status) then return 'e' end

  if state ~= '' and current == stage then
    if again and r[9] == now then return 'a' end
    -- A newer generation of the same object: 64-bit numbers, so they are compared as digits.
    local old, new = string.match(r[7], '^%d*'), string.match(rest, '^%d*')
    if r[6] == where and (#old < #new or (#old == #new and old < new)) then
      redis.call('HSET', record, 'ig', rest)
    end
    return 'k'
  end
  if order(stage) <= math.max(order(done), order(current)) then return 'k' end

  if done then redis.call('ZREM', HANDOVER, id) end
  if previous ~= '' and done ~= previous then
    -- The manifest is here before its writer's word: whatever was known of earlier stages is over.
    leave(id, current, state)
    if status == 'Q' then
      become('Q', 'P')
      status = 'P'
    end
    redis.call('HSET', record, 'S', status, 'D', previous, 'F', state == 'l' and r[8] or '', 'm', where, 'mg', rest)
    redis.call('HDEL', EXTRA .. id, 'p', 'f')
    publish(id, previous, status, 'completed')
  end

  local place
  if FAIR_SHARE then
    local _, caller = identity(id)
    local turns, key = TURNS .. stage, priority .. ':' .. caller
    local t = redis.call('HMGET', turns, priority, key)
    place = math.max(tonumber(t[1] or 0), tonumber(t[2] or 0)) + 1
    redis.call('HSET', turns, key, place)
  else
    place = redis.call('INCR', SEQUENCE)
  end
  place = string.format('%.0f', score(priority, place))
  redis.call('HSET', record, 'g', stage, 'k', 'r', 'e', now, 'q', place, 'i', where, 'ig', rest)
  if current then redis.call('HDEL', record, 'u', 'a', 'A', 'x', 'w', 'n', 'v') end
  redis.call('ZADD', READY .. stage, place, id)
  publish(id, stage, status, 'enqueued')
  return 'a'
end

local answers = {}
for i = 3, #ARGV, 5 do
  answers[#answers + 1] = enqueue(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
return table.concat(answers)
