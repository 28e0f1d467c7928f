-- saved counts the attempts of a task anew: its worker has saved its state, so the next one begins further on. Called by lease.Saved.
--   ARGV[6]  request id
--   ARGV[7]  fence
--   ARGV[8]  stage
-- Returns 'ok', 'lost' or 'canceled'.
local id, fence = ARGV[6], ARGV[7]
local answer = held(read(id, 'fence', 'lease_lost', 'status', 'task'), fence)
if answer == 'ok' then redis.call('HSET', '{q4}request:' .. id, 'attempt', '1', 'updated', now) end
return answer
