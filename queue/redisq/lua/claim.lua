-- claim leases the next tasks of a stage. Before that, in the same step, it may complete one that was claimed earlier. Called by
-- Queue.Claim and lease.CompleteAndClaim.
--   ARGV[6]  stage
--   ARGV[7]  how many tasks at most
--   ARGV[8]  end of the leases
--   ARGV[9]  worker, followed by something unique to this call
--   ARGV[10] the least fence to give: now, in microseconds
--   ARGV[11] 1 when callers of equal priority take turns, else 0
--   to complete a task of the same stage first: ARGV[12] its request id, [13] its fence, [14] 1 when no stage follows, else 0,
--   [15] to [20] its manifest (object)
-- Returns 'lost' or 'canceled' as complete does, and has claimed nothing then; else JSON: a list of records, each with its id and the
-- failure of an earlier attempt.
local stage, limit, ends, worker, least, fair = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11] == '1'

if ARGV[12] then
  local answer = complete(ARGV[12], ARGV[13], stage, ARGV[14] == '1', 15)
  if answer ~= 'ok' then return answer end
end

-- claimed returns the record of a leased task for its worker.
local function claimed(id, r)
  r.id, r.failure = id, redis.call('HGET', REPORT .. id, 'failure') or nil
  return r
end

-- encoded returns a list as JSON. An empty table would become an object.
local function encoded(list) return #list > 0 and cjson.encode(list) or '[]' end

if repeated then
  local found = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASED .. stage, ends, ends)) do
    local r = read_all(REQUEST .. id)
    if r.worker == worker then found[#found + 1] = claimed(id, r) end
  end
  table.sort(found, function(a, b) return tonumber(a.fence) < tonumber(b.fence) end) -- as they were claimed
  if #found > 0 then return encoded(found) end
end

-- take_turn notes that the turn of a claimed task has come.
local function take_turn(score_of_task, r)
  local priority = priority_of(score_of_task)
  local turns, caller = TURNS .. stage, priority .. ':' .. r.caller
  local turn = score_of_task - score(priority, 0)
  local known = redis.call('HMGET', turns, priority, caller)
  if turn > tonumber(known[1] or 0) then redis.call('HSET', turns, priority, turn) end
  if turn == tonumber(known[2] or 0) then redis.call('HDEL', turns, caller) end
end

-- Fences grow with every claim of a task and are never less than the clock: should its newest claims be lost with the machine, no
-- fence is given out twice.
local newest = least - 1

wake_due(stage)
local leased = {}
local tasks = redis.call('ZPOPMIN', READY .. stage, limit)
for t = 1, #tasks, 2 do
  local id = tasks[t]
  local r = read_all(REQUEST .. id)
  if r.task == 'ready' and r.stage == stage and active(r.status) then -- else half a script
    newest = math.max(newest, tonumber(r.fence or 0)) + 1
    if r.status == 'QUEUED' then -- else it is not written: see active()
      r.status = 'PROCESSING'
      redis.call('HSET', REQUEST .. id, 'status', r.status)
      count('QUEUED', r.status)
    end
    r.fence, r.attempt = text(newest), text((r.attempt or 0) + 1)
    redis.call('HSET', REQUEST .. id, 'task', 'leased', 'fence', r.fence, 'attempt', r.attempt, 'worker', worker, 'ends', ends,
      'updated', now, 'started', r.started or now)
    if r.lease_lost then redis.call('HDEL', REQUEST .. id, 'lease_lost') end
    redis.call('ZADD', LEASED .. stage, ends, id)
    if fair then take_turn(tonumber(tasks[t + 1]), r) end
    publish(id, stage, r.status, 'claimed')
    leased[#leased + 1] = claimed(id, r)
  end
end
return encoded(leased)
