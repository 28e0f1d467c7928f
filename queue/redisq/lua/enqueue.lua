-- enqueue makes a task ready, once. Called by Queue.Enqueue and Queue.Restore.
--   ARGV[6]  request id
--   ARGV[7]  stage
--   ARGV[8]  the stage before it, or an empty string
--   ARGV[9]  this stage and all after it, separated by spaces
--   ARGV[10] 1 when callers of equal priority take turns, else 0
--   ARGV[11] to [13]  input (object)
--   ARGV[14] 1 to count a task that is known
-- Returns 'added', 'known', 'unknown' or 'finished'.
local id, stage, previous, from_here, fair, input = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10] == '1', 11
local key = '{q4}request:' .. id
local r = read(id, 'status', 'stage', 'task', 'enqueued', 'fence', 'done_stage', 'input_bucket', 'input_name',
  'input_version', 'repeat_at')
local status = r.status
if not status then return 'unknown' end
if not active(status) then return 'finished' end

-- newer compares generations: 64-bit numbers, so as digits.
local function newer(a, b)
  a, b = string.match(a, '^%d+'), string.match(b, '^%d+')
  return #a > #b or (#a == #b and a > b)
end
-- known is the answer for a task that is. What the first try of this call counted, another try does not.
local function known()
  if ARGV[14] == '1' and not (repeated and r.repeat_at == now) then
    redis.call('HINCRBY', '{q4}repeats', stage, 1)
    redis.call('HSET', key, 'repeat_at', now)
  end
  return 'known'
end
-- reached reports whether a stage is this one or a later one.
local function reached(s) return s and string.find(from_here, s, 1, true) end

if r.stage == stage and (r.task or '') ~= '' then
  if repeated and r.enqueued == now then return 'added' end
  if r.input_bucket == ARGV[input] and r.input_name == ARGV[input + 1] and newer(ARGV[input + 2], r.input_version) then
    redis.call('HSET', key, object('input', input))
  end
  return known()
end
if reached(r.stage) or reached(r.done_stage) then return known() end

if r.done_stage then redis.call('ZREM', '{q4}handover', id) end
if previous ~= '' and r.done_stage ~= previous then
  -- The manifest is here before its writer's Complete: whatever was known of earlier stages is over.
  leave(id, r.stage, r.task)
  if status == 'QUEUED' then
    count('QUEUED', 'PROCESSING')
    status = 'PROCESSING'
  end
  local fence = r.task == 'leased' and r.fence or ''
  redis.call('HSET', key, 'status', status, 'done_stage', previous, 'done_fence', fence, object('manifest', input))
  redis.call('HDEL', '{q4}report:' .. id, 'progress', 'failure')
  publish(id, previous, status, 'completed')
end

local priority, _, caller = unpack(cjson.decode(redis.call('GET', '{q4}submission:' .. id)))
local place
if fair then -- start-time fair queuing: a caller's next task is due two places after its last one, its first one after now
  local turns, turn = '{q4}turns:' .. stage, priority .. ':' .. caller
  local t = redis.call('HMGET', turns, priority, turn)
  place = math.max(tonumber(t[1] or 0) + 1, tonumber(t[2] or -1) + 2)
  redis.call('HSET', turns, turn, place)
else
  place = redis.call('INCR', '{q4}sequence')
end
local at = text(score(priority, place))
redis.call('HSET', key, 'stage', stage, 'task', 'ready', 'enqueued', now, 'updated', now, 'score', at, object('input', input))
if r.stage then redis.call('HDEL', key, 'attempt', 'exhausted', 'ends', 'worker', 'extended') end
redis.call('ZADD', '{q4}ready:' .. stage, at, id)
publish(id, stage, status, 'enqueued')
return 'added'
