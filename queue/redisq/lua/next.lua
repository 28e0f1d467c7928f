-- next looks at the head of a stage's queue and takes nothing. It wakes tasks that are due. Called by Queue.Next.
--   ARGV[6]  stage
--   ARGV[7]  how many at most
-- Returns a list of the request ids of ready tasks in the order of claims; 'more' when there are more to wake: call again.
local stage, limit = ARGV[6], tonumber(ARGV[7])
if not wake_due(stage) then return 'more' end
return redis.call('ZRANGE', '{q4}ready:' .. stage, 0, limit - 1)
