-- cancel ends a request that has not ended. The fence stays in the record: it tells the worker why its lease is gone.
--   ARGV[3]  request id
-- Returns 1, -1 no such request, -2 it has ended.
local id = ARGV[3]
local r = redis.call('HMGET', RECORD .. id, 'S', 'g', 'k', 'u')
local status, stage = r[1], r[2]
if not status then return -1 end
if again and status == 'X' and r[4] == now then return 1 end
if not active(status) then return -2 end
leave(id, stage, r[3])
redis.call('HDEL', EXTRA .. id, 'f')
finish(id, status, 'X', ANNOUNCE)
publish(id, stage, 'X', 'canceled')
return 1
