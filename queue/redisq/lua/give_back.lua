-- give_back makes a leased task ready at its old place, as if it had not been claimed. Called by lease.GiveBack.
--   ARGV[6]  request id
--   ARGV[7]  fence
--   ARGV[8]  stage
-- Returns 'ok', 'lost' or 'canceled'.
local id, fence, stage = ARGV[6], ARGV[7], ARGV[8]
local r = read(id, 'fence', 'lease_lost', 'status', 'stage', 'task', 'score')
if repeated and r.fence == fence and not r.lease_lost and r.task == 'ready' and r.stage == stage then return 'ok' end
local answer = held(r, fence)
if answer ~= 'ok' then return answer end
redis.call('ZREM', '{q4}leased:' .. stage, id)
redis.call('HSET', '{q4}request:' .. id, 'task', 'ready', 'updated', now)
redis.call('HINCRBY', '{q4}request:' .. id, 'attempt', -1)
redis.call('HDEL', '{q4}request:' .. id, 'ends', 'worker', 'extended')
redis.call('ZADD', '{q4}ready:' .. stage, r.score, id)
publish(id, stage, 'PROCESSING', 'given_back')
return 'ok'
