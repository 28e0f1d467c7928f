-- next looks at the head of a stage's queue and takes nothing. It wakes tasks whose time has come.
--   ARGV[3]  stage
--   ARGV[4]  how many at most
-- Returns the request ids of ready tasks in the order of claims, or -2 ask again: there are more to wake.
if not due(ARGV[3]) then return -2 end
return redis.call('ZRANGE', READY .. ARGV[3], 0, ARGV[4] - 1)
