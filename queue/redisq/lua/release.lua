-- release frees the slot of a worker, if it has one.
--   ARGV[3]  stage
--   ARGV[4]  worker
-- Returns 1, 0 there was none.
return redis.call('ZREM', SLOTS .. ARGV[3], ARGV[4])
