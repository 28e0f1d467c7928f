-- reap_stage puts right what died silently in one stage.
--   ARGV[3]  stage
--   ARGV[4]  how many leases and how many delayed tasks at most
-- Returns expired leases, delayed tasks made ready, dead slots, and ready tasks when there is no live slot for them.
local stage, n = ARGV[3], ARGV[4]
local expired = redis.call('ZRANGEBYSCORE', LEASED .. stage, '-inf', now, 'LIMIT', 0, n)
for _, id in ipairs(expired) do
  local record = RECORD .. id
  local r = redis.call('HMGET', record, 'a', 'q', 'k', 'g', 'f', 'S')
  redis.call('ZREM', LEASED .. stage, id)
  if r[3] ~= 'l' or r[4] ~= stage or not active(r[6]) then
    -- half a script: the lease is not this request's any more
  elseif tonumber(r[1]) >= ATTEMPTS then
    redis.call('HSET', record, 'E', 1)
    redis.call('HSET', EXTRA .. id, 'f', '!worker_lost')
    finish(id, 'P', 'F', 0)
    redis.call('HDEL', record, 'f')
    publish(id, stage, 'F', 'failed', 'worker_lost')
  else
    redis.call('HSET', record, 'k', 'r', 'f', '-' .. (r[5] or 0), 'u', now)
    redis.call('HDEL', record, 'x', 'w')
    redis.call('ZADD', READY .. stage, r[2], id)
    publish(id, stage, 'P', 'expired')
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
return {#expired, #delayed, dead, wanting}
