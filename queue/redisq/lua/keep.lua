-- keep extends the slot of a worker.
--   ARGV[3]  stage
--   ARGV[4]  new end of the slot
--   ARGV[5]  worker
-- Returns 1, -1 the slot is lost.
local slots, worker = SLOTS .. ARGV[3], ARGV[5]
local ends = redis.call('ZSCORE', slots, worker)
if not ends or tonumber(ends) <= tonumber(now) then return -1 end
redis.call('ZADD', slots, ARGV[4], worker)
return 1
