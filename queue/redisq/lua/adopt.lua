-- adopt gives a worker the slot it has, else one that was reserved, else a free one. Called by Queue.Adopt.
--   ARGV[6]  stage
--   ARGV[7]  how many slots there are
--   ARGV[8]  end of the slot
--   ARGV[9]  worker
-- Returns 1, or 0 when all slots are taken.
local slots, launched, limit, ends, worker = '{q4}slots:' .. ARGV[6], '{q4}launched:' .. ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]
redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
redis.call('ZREMRANGEBYSCORE', launched, '-inf', now)
local has = redis.call('ZSCORE', slots, worker)
if not has and #redis.call('ZPOPMIN', launched) == 0 and redis.call('ZCARD', slots) >= limit then return 0 end
redis.call('ZADD', slots, ends, worker)
return 1
