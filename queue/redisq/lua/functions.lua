-- What scripts about tasks do: this file is put in front of each script. Every script is called with
--   KEYS[1]  {q4}, see keys.lua
--   ARGV[1]  1 when the call is repeated since its answer never came, so it may have happened already; else 0
--   ARGV[2]  now
--   ARGV[3]  how many events are kept
--   ARGV[4]  how long a finished request is remembered, in milliseconds
--   ARGV[5]  how long the program that finished a request has to announce it, in milliseconds
-- and what its own header lists, from ARGV[6] on.
local repeated, now, keep_events, keep_finished, announce_within = ARGV[1] == '1', ARGV[2], ARGV[3], ARGV[4], ARGV[5]

-- read returns the named fields of a record; what is missing is nil.
local function read(id, ...)
  local names, values, fields = {...}, redis.call('HMGET', '{q4}request:' .. id, ...), {}
  for i = 1, #names do
    if values[i] then fields[names[i]] = values[i] end
  end
  return fields
end

-- lease_of returns what a lease has to know, the values of leaseFields in record.go, and then what a claim decides by. A list without
-- names, since Redis' work for a task is the number of values that a script passes around: a claim that read what decides and then
-- the whole record with its names took an eighth more.
local function lease_of(id)
  local r = redis.call('HMGET', '{q4}request:' .. id, 'fence', 'attempt', 'exhausted', 'input_bucket', 'input_name', 'input_version',
    'status', 'stage', 'task', 'started', 'lease_lost')
  local status, stage, task, started, lease_lost = unpack(r, 7)
  r[7], r[8], r[9] = id, redis.call('GET', '{q4}submission:' .. id), redis.call('HGET', '{q4}report:' .. id, 'failure')
  r[10], r[11] = nil, nil
  return r, status, stage, task, started, lease_lost
end

-- object returns the fields and values for an object of the store, whose three values begin at ARGV[first].
local function object(name, first)
  return name .. '_bucket', ARGV[first], name .. '_name', ARGV[first + 1], name .. '_version', ARGV[first + 2]
end

-- text writes a whole number without an exponent.
local function text(number) return string.format('%d', number) end

-- 12 bits of priority, highest first, and 41 bits of place: an integer that a double holds exactly.
local PLACES = 2 ^ 41
local function score(priority, place) return (4095 - priority) * PLACES + place end
local function priority_of(a_score) return 4095 - math.floor(a_score / PLACES) end

-- publish appends a transition to the events: one text, which transition in events.go reads.
local function publish(id, stage, status, kind, detail)
  redis.call('XADD', '{q4}events', 'MAXLEN', '~', keep_events, '*',
    'event', id .. ' ' .. (stage or '') .. ' ' .. status .. ' ' .. kind .. ' ' .. now .. ' ' .. (detail or ''))
end

-- count notes a change of status.
local function count(from, to) redis.call('HINCRBY', '{q4}counts', from .. '>' .. to, '1') end

-- plan files an entry, "deadline" or "forget" and a request id, for the minute of a time. In a list for each minute it takes 38 bytes,
-- in one sorted set 142 (a million entries).
local function plan(entry, at)
  local minute = math.floor(at / 60000)
  redis.call('ZADD', '{q4}agenda', minute, minute)
  redis.call('RPUSH', '{q4}agenda:' .. minute, entry)
end

-- active reports whether a request of that status is not finished. A script that was cut off by the end of the machine may come back
-- as its first writes alone, under what happened after it, see TestHalfAScript: so the sets are believed only as far as the record
-- agrees, and scripts write first what decides.
local function active(status) return status == 'QUEUED' or status == 'PROCESSING' end

-- leave takes a task out of the set in which it is.
local function leave(id, stage, task)
  if task == 'ready' then
    redis.call('ZREM', '{q4}ready:' .. stage, id)
  elseif task == 'leased' then
    redis.call('ZREM', '{q4}leased:' .. stage, id)
  elseif task == 'delayed' then
    redis.call('ZREM', '{q4}delayed:' .. stage, id)
  end
end

-- finish ends a request whose task has left its set. Of the task its record keeps stage, attempt and fence. A record that still has a
-- score marks for restore that the rest of these writes is missing. The reaper announces the end unless another program has by then.
local function finish(id, from, to, announce_at)
  redis.call('HSET', '{q4}request:' .. id, 'status', to, 'updated', now, 'finished', now)
  redis.call('ZREM', '{q4}handover', id)
  redis.call('DEL', '{q4}promised:' .. id)
  redis.call('ZADD', '{q4}finished', announce_at, id)
  plan('forget ' .. id, now + keep_finished)
  count(from, to)
  redis.call('HDEL', '{q4}request:' .. id, 'task', 'score', 'ends', 'worker', 'extended', 'enqueued', 'exhausted',
    'input_bucket', 'input_name', 'input_version')
end

-- make_ready puts a task whose lease or delay is over back to its place. Its last lease is lost.
local function make_ready(id, stage, task, status, kind)
  redis.call('HSET', '{q4}request:' .. id, 'task', 'ready', 'lease_lost', '1')
  redis.call('HDEL', '{q4}request:' .. id, 'ends', 'worker', 'extended')
  redis.call('ZADD', '{q4}ready:' .. stage, task.score, id)
  publish(id, stage, status, kind)
end

-- wake makes delayed tasks ready.
local function wake(stage, ids)
  for _, id in ipairs(ids) do
    redis.call('ZREM', '{q4}delayed:' .. stage, id)
    local r = read(id, 'status', 'stage', 'task', 'score')
    if r.task == 'delayed' and r.stage == stage and active(r.status) then -- else half a script
      make_ready(id, stage, r, r.status, 'ready')
    end
  end
end

-- wake_due wakes the tasks of a stage whose retry is due and reports whether those were all: 500 at most, since other calls wait for
-- the end of a script.
local function wake_due(stage)
  if redis.call('EXISTS', '{q4}delayed:' .. stage) == 0 then return true end -- cheaper than the look, with every claim
  local ids = redis.call('ZRANGEBYSCORE', '{q4}delayed:' .. stage, '-inf', now, 'LIMIT', 0, 500)
  wake(stage, ids)
  return #ids < 500
end

-- held returns 'ok' while a lease holds its task, else 'canceled' or 'lost', which is the answer to its worker. r has fence,
-- lease_lost, status and task. Time alone takes no lease, the reaper does.
local function held(r, fence)
  if r.fence ~= fence or r.lease_lost then return 'lost' end
  if r.status == 'CANCELED' then return 'canceled' end
  if r.task ~= 'leased' then return 'lost' end
  return 'ok'
end

-- complete ends the task of a lease with its manifest, whose values begin at ARGV[manifest]; last: no stage follows. It returns what
-- held returns.
local function complete(id, fence, stage, last, manifest)
  local answer = held(read(id, 'fence', 'lease_lost', 'status', 'task'), fence)
  if answer ~= 'ok' then
    local done = read(id, 'done_stage', 'done_fence')
    -- Completed by this very lease: the manifest's event came first, or this call is repeated.
    if done.done_stage == stage and done.done_fence == fence then return 'ok' end
    return answer
  end
  redis.call('ZREM', '{q4}leased:' .. stage, id)
  redis.call('HSET', '{q4}request:' .. id, 'task', '', 'attempt', '0', 'done_stage', stage, 'done_fence', fence, 'updated', now,
    object('manifest', manifest))
  redis.call('HDEL', '{q4}report:' .. id, 'progress', 'failure')
  if last then
    finish(id, 'PROCESSING', 'COMPLETED', now + announce_within)
    publish(id, stage, 'COMPLETED', 'completed')
  else
    redis.call('ZADD', '{q4}handover', now, id)
    publish(id, stage, 'PROCESSING', 'completed')
  end
  return 'ok'
end
