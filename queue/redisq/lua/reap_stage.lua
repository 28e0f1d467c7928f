-- reap_stage puts right what died silently in one stage. Called by Queue.Reap.
--   ARGV[6]  stage
--   ARGV[7]  how many leases and how many delayed tasks at most
--   ARGV[8]  how long a lease lasts, in milliseconds
--   ARGV[9]  how many attempts a task has
--   ARGV[10] failure (JSON) of a request that has none left, [11] its code
-- Returns a list: expired leases, delayed tasks made ready, dead slots, ready tasks when there is no live slot for them, and 1 when
-- more is due.
-- With requests.lua.
local stage, limit, lease, attempts, failure, code = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10], ARGV[11]

-- When no reaper has looked for longer than a lease lasts, the workers may have stood still with it, as on a laptop that slept. So
-- each gets the time of a lease to be heard, once.
local stood_still = now - (redis.call('HGET', '{q4}reaped', stage) or now) > lease
local function extend(id)
  local ends = text(now + lease)
  redis.call('HSET', '{q4}request:' .. id, 'ends', ends, 'extended', '1')
  redis.call('ZADD', '{q4}leased:' .. stage, ends, id)
end

local lost = 0
local expired = redis.call('ZRANGEBYSCORE', '{q4}leased:' .. stage, '-inf', now, 'LIMIT', 0, limit)
for _, id in ipairs(expired) do
  local r = read(id, 'status', 'stage', 'task', 'score', 'attempt', 'extended')
  redis.call('ZREM', '{q4}leased:' .. stage, id)
  if r.task ~= 'leased' or r.stage ~= stage or not active(r.status) then
    -- half a script: the lease is not this request's any more
  elseif stood_still and not r.extended then
    extend(id)
  elseif tonumber(r.attempt) >= attempts then
    fail(id, 'PROCESSING', stage, failure, code)
    lost = lost + 1
  else
    make_ready(id, stage, r, 'PROCESSING', 'expired')
    redis.call('HSET', '{q4}request:' .. id, 'updated', now)
    lost = lost + 1
  end
end
local delayed = redis.call('ZRANGEBYSCORE', '{q4}delayed:' .. stage, '-inf', now, 'LIMIT', 0, limit)
wake(stage, delayed)
local dead = redis.call('ZREMRANGEBYSCORE', '{q4}slots:' .. stage, '-inf', now) + redis.call('ZREMRANGEBYSCORE', '{q4}launched:' .. stage, '-inf', now)
local wanting = 0
if redis.call('ZCARD', '{q4}slots:' .. stage) + redis.call('ZCARD', '{q4}launched:' .. stage) == 0 then wanting = redis.call('ZCARD', '{q4}ready:' .. stage) end
if #expired == limit or #delayed == limit then return {lost, #delayed, dead, wanting, 1} end
redis.call('HSET', '{q4}reaped', stage, now)
return {lost, #delayed, dead, wanting, 0}
