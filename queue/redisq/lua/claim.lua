-- claim leases the next tasks of a stage.
--   ARGV[3]  stage
--   ARGV[4]  how many at most
--   ARGV[5]  end of the leases
--   ARGV[6]  worker, followed by something unique to this call
-- Returns for each task: request id, fence, attempt, failure of an earlier attempt, options, then the fields of LEASE.
local stage, n, untilMs, worker = ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local LEASE = {'s', 'c', 't', 'p', 'b', 'd', 'A', 'i', 'ig', 'iz', 'ic', 'it'}

local function answer(id, fence, attempt)
  local record = RECORD .. id
  local options = redis.call('HGET', record, 'o') or ''
  local piece, i = options, 1
  while piece and #piece == 64 do
    piece = redis.call('HGET', record, 'o' .. i)
    options, i = options .. (piece or ''), i + 1
  end
  local failure = tonumber(attempt) > 1 and redis.call('HGET', EXTRA .. id, 'f') or false
  local a = redis.call('HMGET', record, unpack(LEASE))
  return {id, fence, attempt, failure, options, unpack(a)}
end

local answers = {}
if again then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASED .. stage, untilMs, untilMs)) do
    local r = redis.call('HMGET', RECORD .. id, 'w', 'f', 'a')
    if r[1] == worker then table.insert(answers, answer(id, r[2], r[3])) end
  end
  if #answers > 0 then return answers end
end

wake(stage, redis.call('ZRANGEBYSCORE', DELAYED .. stage, '-inf', now, 'LIMIT', 0, n))
local tasks = redis.call('ZPOPMIN', READY .. stage, n)
if #tasks == 0 then return answers end

-- The fence counts claims and never falls behind the clock, in microseconds: should the newest claims be lost with the
-- machine, no fence is given out twice.
local fence = math.max(tonumber(redis.call('GET', FENCE) or 0), now * 1000)
redis.call('SET', FENCE, fence + #tasks / 2)

for t = 1, #tasks, 2 do
  local id = tasks[t]
  fence = fence + 1
  local token = string.format('%.0f', fence)
  local r = redis.call('HMGET', RECORD .. id, 'S', 'a', 'z', 'p', 'q', 'c')
  local attempt = tonumber(r[2] or 0) + 1
  local set = {'k', 'l', 'f', token, 'w', worker, 'x', untilMs, 'a', attempt, 'u', now}
  if not r[3] then
    set[13], set[14] = 'z', now
  end
  if r[1] == 'Q' then
    set[#set + 1] = 'S'
    set[#set + 1] = 'P'
    become('Q', 'P')
  end
  redis.call('HSET', RECORD .. id, unpack(set))
  redis.call('ZADD', LEASED .. stage, untilMs, id)
  if FAIR_SHARE then
    local turns, priority, place = TURNS .. stage, r[4] or '0', tonumber(r[5])
    local caller = priority .. ':' .. (r[6] or '')
    local known = redis.call('HMGET', turns, priority, caller)
    if place > tonumber(known[1] or 0) then redis.call('HSET', turns, priority, place) end
    if tonumber(known[2] or 0) == place then redis.call('HDEL', turns, caller) end
  end
  publish(id, stage, 'P', 'claimed')
  answers[#answers + 1] = answer(id, token, attempt)
end
return answers
