-- reserve takes a slot for a worker about to be launched. Called by Queue.Reserve.
--   ARGV[6]  stage
--   ARGV[7]  how many slots there are
--   ARGV[8]  end of the reservation
--   ARGV[9]  its name, unique to this call
-- Returns 1, or 0 when all slots are taken.
local slots, launched, limit, ends, name = '{q4}slots:' .. ARGV[6], '{q4}launched:' .. ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]
redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
redis.call('ZREMRANGEBYSCORE', launched, '-inf', now)
if repeated and redis.call('ZSCORE', launched, name) then return 1 end
if redis.call('ZCARD', slots) + redis.call('ZCARD', launched) >= limit then return 0 end
redis.call('ZADD', launched, ends, name)
return 1
