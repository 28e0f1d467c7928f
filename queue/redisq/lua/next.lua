-- next looks at the head of a stage's queue and takes nothing.
--   ARGV[3]  stage
--   ARGV[4]  how many at most
-- Returns the request ids of ready tasks in the order of claims.
return redis.call('ZRANGE', READY .. ARGV[3], 0, ARGV[4] - 1)
