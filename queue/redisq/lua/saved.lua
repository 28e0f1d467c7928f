-- saved counts the attempts of a task anew: its worker has saved its state, so the next one begins further on.
--   ARGV[3]  request id
--   ARGV[4]  fence
--   ARGV[5]  stage
-- Returns 1, -1 the lease is lost, -2 the request was canceled.
local id = ARGV[3]
local ok = held(redis.call('HMGET', RECORD .. id, 'f', 'S', 'k'), ARGV[4])
if ok == 1 then redis.call('HSET', RECORD .. id, 'a', '1', 'v', '1', 'u', now) end
return ok
