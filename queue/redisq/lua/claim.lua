-- claim leases the next tasks of a stage. Before that, in the same step, it may complete one that was claimed earlier. Called by
-- Queue.Claim and lease.CompleteAndClaim.
--   ARGV[6]  stage
--   ARGV[7]  how many tasks at most
--   ARGV[8]  end of the leases
--   ARGV[9]  worker, followed by something unique to this call
--   ARGV[10] the least fence to give: now, in microseconds
--   ARGV[11] 1 when callers of equal priority take turns, else 0
--   to complete a task of the same stage first: ARGV[12] its request id, [13] its fence, [14] 1 when no stage follows, else 0,
--   [15] to [17] its manifest (object)
-- Returns 'lost' or 'canceled' as complete does, and has claimed nothing then; else a list of what lease_of returns.
local stage, limit, ends, worker, least, fair = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11] == '1'

if ARGV[12] then
  local answer = complete(ARGV[12], ARGV[13], stage, ARGV[14] == '1', 15)
  if answer ~= 'ok' then return answer end
end

if repeated then
  local found = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', '{q4}leased:' .. stage, ends, ends)) do
    if read(id, 'worker').worker == worker then found[#found + 1] = (lease_of(id)) end
  end
  table.sort(found, function(a, b) return tonumber(a[1]) < tonumber(b[1]) end) -- by fence: as they were claimed
  if #found > 0 then return found end
end

-- take_turn notes that the turn of a claimed task has come.
local function take_turn(id, score_of_task)
  local priority = priority_of(score_of_task)
  local turns, caller = '{q4}turns:' .. stage, priority .. ':' .. cjson.decode(redis.call('GET', '{q4}submission:' .. id))[3]
  local turn = score_of_task - score(priority, 0)
  local known = redis.call('HMGET', turns, priority, caller)
  if turn > tonumber(known[1] or 0) then redis.call('HSET', turns, priority, turn) end
  if turn == tonumber(known[2] or 0) then redis.call('HDEL', turns, caller) end
end

-- Fences grow with every claim of a task and are never less than the clock: should its newest claims be lost with the machine, no
-- fence is given out twice.
local newest = least - 1

wake_due(stage)
local claimed = {}
local tasks = redis.call('ZPOPMIN', '{q4}ready:' .. stage, limit)
for t = 1, #tasks, 2 do
  local id = tasks[t]
  local lease, status, at_stage, task, started, lease_lost = lease_of(id)
  local fence, attempt = lease[1], lease[2] -- false where the record has none
  if task == 'ready' and at_stage == stage and active(status) then -- else half a script
    local key = '{q4}request:' .. id
    newest = math.max(newest, tonumber(fence or 0)) + 1
    fence, attempt = text(newest), text((attempt or 0) + 1)
    local begun = status == 'QUEUED' and {'status', 'PROCESSING'} or {} -- else it is not written: see active()
    redis.call('HSET', key, 'task', 'leased', 'fence', fence, 'attempt', attempt, 'worker', worker, 'ends', ends, 'updated', now,
      'started', started or now, unpack(begun))
    if status == 'QUEUED' then count('QUEUED', 'PROCESSING') end
    if lease_lost then redis.call('HDEL', key, 'lease_lost') end
    redis.call('ZADD', '{q4}leased:' .. stage, ends, id)
    if fair then take_turn(id, tonumber(tasks[t + 1])) end
    publish(id, stage, 'PROCESSING', 'claimed')
    lease[1], lease[2] = fence, attempt
    claimed[#claimed + 1] = lease
  end
end
return claimed
