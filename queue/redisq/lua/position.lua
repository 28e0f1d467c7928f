-- position finds the place of a request among the ready tasks of its stage.
--   ARGV[3]  request id
-- Returns 1 for the next one and so on, 0 when it is not ready, -1 no such request.
local id = ARGV[3]
local r = redis.call('HMGET', RECORD .. id, 'S', 'g', 'k')
if not r[1] then return -1 end
if r[3] ~= 'r' then return 0 end
return redis.call('ZRANK', READY .. r[2], id) + 1
