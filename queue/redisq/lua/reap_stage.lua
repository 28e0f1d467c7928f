-- reap_stage puts right what died silently in one stage.
--   ARGV[3]  stage
--   ARGV[4]  how many leases and how many delayed tasks at most
-- Returns expired leases, delayed tasks made ready, dead slots, ready tasks when there is no live slot for them, and 1 when more
-- is due.
local stage, n = ARGV[3], ARGV[4]

-- When no reaper has looked for longer than a lease lasts, the workers may have stood still with it, as on a laptop that slept. So
-- each gets the time of a lease to be heard, once.
local stoodStill = now - (redis.call('HGET', REAPED, stage) or now) > LEASE
local function extend(id)
  local till = string.format('%.0f', now + LEASE)
  redis.call('HSET', RECORD .. id, 'x', till, 'n', 1)
  redis.call('ZADD', LEASED .. stage, till, id)
end

local lost = 0
local expired = redis.call('ZRANGEBYSCORE', LEASED .. stage, '-inf', now, 'LIMIT', 0, n)
for _, id in ipairs(expired) do
  local record = RECORD .. id
  local r = redis.call('HMGET', record, 'a', 'q', 'k', 'g', 'f', 'S', 'n')
  redis.call('ZREM', LEASED .. stage, id)
  if r[3] ~= 'l' or r[4] ~= stage or not active(r[6]) then
    -- half a script: the lease is not this request's any more
  elseif stoodStill and not r[7] then
    extend(id)
  elseif tonumber(r[1]) >= ATTEMPTS then
    redis.call('HSET', record, 'E', 1)
    redis.call('HSET', EXTRA .. id, 'f', '!worker_lost')
    finish(id, 'P', 'F', 0)
    redis.call('HDEL', record, 'f')
    publish(id, stage, 'F', 'failed', 'worker_lost')
    lost = lost + 1
  else
    redis.call('HSET', record, 'k', 'r', 'f', '-' .. (r[5] or 0), 'u', now)
    redis.call('HDEL', record, 'x', 'w', 'n')
    redis.call('ZADD', READY .. stage, r[2], id)
    publish(id, stage, 'P', 'expired')
    lost = lost + 1
  end
end
local delayed = redis.call('ZRANGEBYSCORE', DELAYED .. stage, '-inf', now, 'LIMIT', 0, n)
wake(stage, delayed)
local dead = redis.call('ZREMRANGEBYSCORE', SLOTS .. stage, '-inf', now)
  + redis.call('ZREMRANGEBYSCORE', LAUNCHED .. stage, '-inf', now)
local wanting = 0
if redis.call('ZCARD', SLOTS .. stage) + redis.call('ZCARD', LAUNCHED .. stage) == 0 then
  wanting = redis.call('ZCARD', READY .. stage)
end
if #expired == tonumber(n) or #delayed == tonumber(n) then return {lost, #delayed, dead, wanting, 1} end
redis.call('HSET', REAPED, stage, now)
return {lost, #delayed, dead, wanting, 0}
