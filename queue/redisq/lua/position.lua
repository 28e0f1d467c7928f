-- position finds the place of a request among the ready tasks of its stage, after it has woken those that are due. Called by
-- Queue.Position.
--   ARGV[6]  request id
-- Returns 1 for the next one and so on, 0 when it is not ready; 'unknown'; 'more' when there are more to wake: call again.
local id = ARGV[6]
local r = read(id, 'status', 'stage', 'task')
if not r.status then return 'unknown' end
if r.task ~= 'ready' and r.task ~= 'delayed' then return 0 end
if not wake_due(r.stage) then return 'more' end
if read(id, 'task').task ~= 'ready' then return 0 end
return (redis.call('ZRANK', '{q4}ready:' .. r.stage, id) or -1) + 1 -- not there: half a script
