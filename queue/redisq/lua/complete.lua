-- complete ends a task with its manifest.
--   ARGV[3]  request id
--   ARGV[4]  fence
--   ARGV[5]  stage
--   ARGV[6]  1 when it is the last stage, else 0
--   ARGV[7]  manifest: bucket and name, [8] generation, size, crc32c and content type
-- Returns 1, -1 the lease is lost, -2 the request was canceled.
local id, fence, stage = ARGV[3], ARGV[4], ARGV[5]
local r = redis.call('HMGET', RECORD .. id, 'f', 'S', 'k', 'x', 'D', 'F', 'E')
-- Done by this very lease: the manifest's event came first, or this call is tried again.
if r[5] == stage and r[6] == fence then return 1 end
local ok = held(r, fence)
if ok ~= 1 then return ok end
redis.call('ZREM', LEASED .. stage, id)
redis.call('HSET', RECORD .. id, 'k', '', 'a', 0, 'D', stage, 'F', fence, 'u', now, 'm', ARGV[7], 'mg', ARGV[8])
if r[7] then redis.call('HDEL', EXTRA .. id, 'p', 'f') end
if ARGV[6] == '1' then
  finish(id, 'P', 'C')
  publish(id, stage, 'C', 'completed')
else
  redis.call('ZADD', HANDOVER, now, id)
  publish(id, stage, 'P', 'completed')
end
return 1
