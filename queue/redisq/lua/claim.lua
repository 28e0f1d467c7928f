-- claim leases the next tasks of a stage, and before that may complete one that was claimed earlier.
--   ARGV[3]  stage
--   ARGV[4]  how many at most
--   ARGV[5]  end of the leases
--   ARGV[6]  worker, followed by something unique to this call
--   ARGV[7]  the least fence to give: now, in microseconds
--   ARGV[8]  to complete one of the same stage first: its request id, and [9] to [12] as [4] and [6] to [8] of complete
-- Returns -1 or -2 as complete does, and has claimed nothing then. Else for each task: request id, fence, attempt, exhausted attempts, failure of an earlier attempt, more pieces of the
-- request when there are more than three, and r r1 r2 i ig of the record.
local stage, untilMs, worker = ARGV[3], ARGV[5], ARGV[6]

if ARGV[8] then
  local ok = completed(ARGV[8], ARGV[9], stage, ARGV[10] == '1', ARGV[11], ARGV[12])
  if ok ~= 1 then return ok end
end

local function answer(id, fence, attempt, r)
  local exhausted, failure, more = false, false, false
  if attempt > 1 then
    exhausted, failure = redis.call('HGET', RECORD .. id, 'A'), redis.call('HGET', EXTRA .. id, 'f')
  end
  if r[3] and #r[3] == 64 then
    local i, piece = 3, redis.call('HGET', RECORD .. id, 'r3')
    more = ''
    while piece do
      more, i = more .. piece, i + 1
      piece = redis.call('HGET', RECORD .. id, 'r' .. i)
    end
  end
  return {id, fence, attempt, exhausted, failure, more, r[1], r[2], r[3], r[4], r[5]}
end

local function read(id)
  return redis.call('HMGET', RECORD .. id, 'r', 'r1', 'r2', 'i', 'ig', 'S', 'a', 'z', 'k', 'g', 'f')
end

local answers = {}
if again then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASED .. stage, untilMs, untilMs)) do
    local w = redis.call('HMGET', RECORD .. id, 'w', 'f', 'a')
    if w[1] == worker then answers[#answers + 1] = answer(id, w[2], tonumber(w[3]), read(id)) end
  end
  if #answers > 0 then
    table.sort(answers, function(a, b) return tonumber(a[2]) < tonumber(b[2]) end) -- as they were claimed
    return answers
  end
end

wake(stage, redis.call('ZRANGEBYSCORE', DELAYED .. stage, '-inf', now, 'LIMIT', 0, ARGV[4]))
local tasks = redis.call('ZPOPMIN', READY .. stage, ARGV[4])
if #tasks == 0 then return answers end

-- Fences grow with every claim of a task and never fall behind the clock: should its newest claims be lost with the machine,
-- no fence is given out twice.
local least = tonumber(ARGV[7])
local newest = least - 1

for t = 1, #tasks, 2 do
  local id = tasks[t]
  local r = read(id)
  if r[9] == 'r' and r[10] == stage then -- else half a script, see restore
    newest = math.max(newest, math.abs(tonumber(r[11] or 0))) + 1
    local fence = newest == least and ARGV[7] or string.format('%.0f', newest)
    local attempt = (r[7] or 0) + 1
    if r[6] == 'Q' then become('Q', 'P') end
    redis.call('HSET', RECORD .. id, 'S', 'P', 'k', 'l', 'f', fence, 'w', worker, 'x', untilMs, 'a', attempt == 1 and '1' or attempt, 'u', now, 'z', r[8] or now)
    redis.call('ZADD', LEASED .. stage, untilMs, id)
    if FAIR_SHARE then
      local _, caller = identity(id)
      local level = math.floor(tasks[t + 1] / score(4094, 0))
      local turns, priority, place = TURNS .. stage, 4095 - level, tasks[t + 1] - score(4095 - level, 0)
      local key = priority .. ':' .. caller
      local known = redis.call('HMGET', turns, priority, key)
      if place > tonumber(known[1] or 0) then redis.call('HSET', turns, priority, place) end
      if tonumber(known[2] or 0) == place then redis.call('HDEL', turns, key) end
    end
    publish(id, stage, 'P', 'claimed')
    answers[#answers + 1] = answer(id, fence, attempt, r)
  end
end
return answers
