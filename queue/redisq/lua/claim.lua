-- claim leases the next tasks of a stage, and before that may complete one that was claimed earlier.
--   ARGV[3]  stage
--   ARGV[4]  how many at most
--   ARGV[5]  end of the leases
--   ARGV[6]  worker, followed by something unique to this call
--   ARGV[7]  the least fence to give: now, in microseconds
--   ARGV[8]  to complete one of the same stage first: its request id, and [9] to [12] as [4] and [6] to [8] of complete
-- Returns -1 or -2 as complete does, and has claimed nothing then. Else one text, since an array of arrays costs as much to send
-- as three commands: for each task the attempt as a number of 4 bytes, then seven strings with their lengths before them, as
-- such numbers: request id, fence, exhausted attempts, failure of an earlier attempt, the pieces of the request, and i ig of the
-- record. What there is not is empty.
local stage, untilMs, worker = ARGV[3], ARGV[5], ARGV[6]

if ARGV[8] then
  local ok = completed(ARGV[8], ARGV[9], stage, ARGV[10] == '1', ARGV[11], ARGV[12])
  if ok ~= 1 then return ok end
end

local function answer(id, fence, attempt, r)
  local exhausted, failure, whole, where, rest = '', '', r[1] .. (r[2] or '') .. (r[3] or ''), r[4] or '', r[5] or ''
  if attempt > 1 or r[12] then -- once saved, attempts begin at 1 again
    exhausted, failure = redis.call('HGET', RECORD .. id, 'A') or '', redis.call('HGET', EXTRA .. id, 'f') or ''
  end
  if r[3] and #r[3] == 64 then
    local i, piece = 3, redis.call('HGET', RECORD .. id, 'r3')
    while piece do
      whole, i = whole .. piece, i + 1
      piece = redis.call('HGET', RECORD .. id, 'r' .. i)
    end
  end
  return struct.pack('>I4I4c0I4c0I4c0I4c0I4c0I4c0I4c0', attempt, #id, id, #fence, fence, #exhausted, exhausted, #failure, failure,
    #whole, whole, #where, where, #rest, rest)
end

local function read(id)
  return redis.call('HMGET', RECORD .. id, 'r', 'r1', 'r2', 'i', 'ig', 'S', 'a', 'z', 'k', 'g', 'f', 'v')
end

local answers = {}
if again then
  local taken = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASED .. stage, untilMs, untilMs)) do
    local w = redis.call('HMGET', RECORD .. id, 'w', 'f', 'a')
    if w[1] == worker then taken[#taken + 1] = {id, w[2], tonumber(w[3])} end
  end
  table.sort(taken, function(a, b) return tonumber(a[2]) < tonumber(b[2]) end) -- as they were claimed
  for i, t in ipairs(taken) do answers[i] = answer(t[1], t[2], t[3], read(t[1])) end
  if #answers > 0 then return table.concat(answers) end
end

due(stage)
local tasks = redis.call('ZPOPMIN', READY .. stage, ARGV[4])
if #tasks == 0 then return '' end

-- Fences grow with every claim of a task and never fall behind the clock: should its newest claims be lost with the machine,
-- no fence is given out twice.
local least = tonumber(ARGV[7])
local newest = least - 1

-- A status that ended is not overwritten: see active.
local PROCESSING, NOTHING = {'S', 'P'}, {}

for t = 1, #tasks, 2 do
  local id = tasks[t]
  local r = read(id)
  if r[9] == 'r' and r[10] == stage and active(r[6]) then -- else half a script
    newest = math.max(newest, math.abs(tonumber(r[11] or 0))) + 1
    local fence = newest == least and ARGV[7] or string.format('%.0f', newest)
    local attempt = (r[7] or 0) + 1
    if r[6] == 'Q' then become('Q', 'P') end
    redis.call('HSET', RECORD .. id, 'k', 'l', 'f', fence, 'w', worker, 'x', untilMs, 'a', attempt == 1 and '1' or attempt, 'u', now,
      'z', r[8] or now, unpack(r[6] == 'Q' and PROCESSING or NOTHING))
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
return table.concat(answers)
