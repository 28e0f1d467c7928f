-- adopt gives a worker the slot it has, else one that was reserved, else a free one.
--   ARGV[3]  stage
--   ARGV[4]  how many slots there are
--   ARGV[5]  end of the slot
--   ARGV[6]  worker
-- Returns 1, 0 all slots are taken.
local slots, launched, worker = SLOTS .. ARGV[3], LAUNCHED .. ARGV[3], ARGV[6]
redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
redis.call('ZREMRANGEBYSCORE', launched, '-inf', now)
if not redis.call('ZSCORE', slots, worker) and #redis.call('ZPOPMIN', launched) == 0
  and redis.call('ZCARD', slots) >= tonumber(ARGV[4]) then
  return 0
end
redis.call('ZADD', slots, ARGV[5], worker)
return 1
