-- release frees the slot of a worker, if it has one. Called by Queue.Release.
--   ARGV[6]  stage
--   ARGV[7]  worker
-- Returns 1, or 0 when there was none.
return redis.call('ZREM', '{q4}slots:' .. ARGV[6], ARGV[7])
