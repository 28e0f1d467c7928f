-- reserve takes a slot for a worker about to be launched.
--   ARGV[3]  stage
--   ARGV[4]  how many slots there are
--   ARGV[5]  end of the reservation
--   ARGV[6]  its name, unique to this call
-- Returns 1, 0 all slots are taken.
local slots, launched = SLOTS .. ARGV[3], LAUNCHED .. ARGV[3]
redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
redis.call('ZREMRANGEBYSCORE', launched, '-inf', now)
if again and redis.call('ZSCORE', launched, ARGV[6]) then return 1 end
if redis.call('ZCARD', slots) + redis.call('ZCARD', launched) >= tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', launched, ARGV[5], ARGV[6])
return 1
