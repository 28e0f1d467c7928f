-- giveback makes a leased task ready at its old place, as if it had not been claimed.
--   ARGV[3]  request id
--   ARGV[4]  fence
--   ARGV[5]  stage
-- Returns 1, -1 the lease is lost, -2 the request was canceled.
local id, fence, stage = ARGV[3], ARGV[4], ARGV[5]
local record = RECORD .. id
local r = redis.call('HMGET', record, 'f', 'S', 'k', 'q', 'g')
if again and r[1] == fence and r[3] == 'r' and r[5] == stage then return 1 end
local ok = held(r, fence)
if ok ~= 1 then return ok end
redis.call('ZREM', LEASED .. stage, id)
redis.call('HSET', record, 'k', 'r', 'u', now)
redis.call('HINCRBY', record, 'a', -1)
redis.call('HDEL', record, 'x', 'w', 'n')
redis.call('ZADD', READY .. stage, r[4], id)
publish(id, stage, 'P', 'given_back')
return 1
