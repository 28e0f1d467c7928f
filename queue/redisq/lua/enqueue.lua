-- enqueue makes a task ready, once.
--   ARGV[3]  request id
--   ARGV[4]  stage, [5] the stage before it or an empty string
--   ARGV[6]  input: bucket and name, [7] generation, size, crc32c and content type
-- Returns 1 added, 0 known already, -1 no such request, -2 the request has ended.
local id, stage, previous = ARGV[3], ARGV[4], ARGV[5]
local record = RECORD .. id
local r = redis.call('HMGET', record, 'S', 'D', 'g', 'k', 'p', 'i', 'ig', 'f', 'e')
local status, done, current, state, priority = r[1], r[2], r[3], r[4] or '', r[5] or '0'
if not status then return -1 end
if not active(status) then return -2 end

if state ~= '' and current == stage then
  if again and r[9] == now then return 1 end
  -- A newer generation of the same object: 64-bit numbers, so they are compared as digits.
  local old, new = string.match(r[7], '^%d*'), string.match(ARGV[7], '^%d*')
  if r[6] == ARGV[6] and (#old < #new or (#old == #new and old < new)) then
    redis.call('HSET', record, 'ig', ARGV[7])
  end
  return 0
end
local function order(s) return s and string.find(ORDER, s, 1, true) or 0 end
if order(stage) <= math.max(order(done), order(current)) then return 0 end

if done then redis.call('ZREM', HANDOVER, id) end
if previous ~= '' and done ~= previous then
  -- The manifest is here before its writer's word: whatever was known of earlier stages is over.
  leave(id, current, state)
  if status == 'Q' then
    become('Q', 'P')
    status = 'P'
  end
  redis.call('HSET', record, 'S', status, 'D', previous, 'F', state == 'l' and r[8] or '', 'm', ARGV[6], 'mg', ARGV[7])
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
redis.call('HSET', record, 'g', stage, 'k', 'r', 'e', now, 'q', place, 'i', ARGV[6], 'ig', ARGV[7])
if current then redis.call('HDEL', record, 'u', 'a', 'A', 'x', 'w') end
redis.call('ZADD', READY .. stage, place, id)
publish(id, stage, status, 'enqueued')
return 1
