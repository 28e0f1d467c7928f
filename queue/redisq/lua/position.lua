-- position finds the place of a request among the ready tasks of its stage, after it has woken those whose time has come.
--   ARGV[3]  request id
-- Returns 1 for the next one and so on, 0 when it is not ready, -1 no such request, -2 ask again: there are more to wake.
local id = ARGV[3]
local r = redis.call('HMGET', RECORD .. id, 'S', 'g', 'k')
local stage, state = r[2], r[3]
if not r[1] then return -1 end
if state ~= 'r' and state ~= 'd' then return 0 end
if not due(stage) then return -2 end
if state == 'd' and redis.call('HGET', RECORD .. id, 'k') ~= 'r' then return 0 end
return (redis.call('ZRANK', READY .. stage, id) or -1) + 1 -- not there: half a script
