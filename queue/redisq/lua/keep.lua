-- keep extends the slot of a worker. Called by Queue.Keep.
--   ARGV[6]  stage
--   ARGV[7]  new end of the slot
--   ARGV[8]  worker
-- Returns 1, or 0 when the slot is lost.
local slots, ends, worker = '{q4}slots:' .. ARGV[6], ARGV[7], ARGV[8]
local known = redis.call('ZSCORE', slots, worker)
if not known or tonumber(known) <= tonumber(now) then return 0 end
redis.call('ZADD', slots, ends, worker)
return 1
