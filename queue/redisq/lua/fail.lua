-- fail ends an attempt: with a retry, or for the whole request.
--   ARGV[3]  request id
--   ARGV[4]  fence
--   ARGV[5]  stage
--   ARGV[6]  failure (JSON), [7] its code
--   ARGV[8]  when to retry, or an empty string for no retry
--   ARGV[9]  1 when resources were exhausted, else 0
--   ARGV[10] 1 when the attempt is not used up, else 0
-- Returns 1, -1 the lease is lost, -2 the request was canceled.
local id, fence, stage, at = ARGV[3], ARGV[4], ARGV[5], ARGV[8]
local r = redis.call('HMGET', RECORD .. id, 'f', 'S', 'k')
if again and r[1] == fence and (r[3] == 'd' or r[2] == 'F') then return 1 end
local ok = held(r, fence)
if ok ~= 1 then return ok end
redis.call('ZREM', LEASED .. stage, id)
redis.call('HSET', EXTRA .. id, 'f', ARGV[6])
redis.call('HSET', RECORD .. id, 'E', 1)
if at == '' then
  finish(id, 'P', 'F', ANNOUNCE)
  publish(id, stage, 'F', 'failed', ARGV[7])
  return 1
end
redis.call('HSET', RECORD .. id, 'k', 'd', 'x', at, 'u', now)
if ARGV[9] == '1' then redis.call('HINCRBY', RECORD .. id, 'A', 1) end
if ARGV[10] == '1' then redis.call('HINCRBY', RECORD .. id, 'a', -1) end
redis.call('HDEL', RECORD .. id, 'w', 'n')
redis.call('ZADD', DELAYED .. stage, at, id)
publish(id, stage, 'P', 'retry', ARGV[7])
return 1
