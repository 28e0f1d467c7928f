-- fail ends an attempt: with a retry, or for the whole request. Called by lease.Fail and Queue.Lost.
--   ARGV[6]  request id
--   ARGV[7]  fence
--   ARGV[8]  stage
--   ARGV[9]  failure (JSON), [10] its code
--   ARGV[11] time of the retry, or an empty string for none
--   ARGV[12] how many attempts with exhausted resources this adds: 1 or 0
--   ARGV[13] how many attempts this uses up: 1 or 0
--   ARGV[14] 1 when another program calls for a worker that is gone, which has lost its lease by that; 0 when the worker calls
-- Returns 'ok', 'lost' or 'canceled'.
local id, fence, stage, failure, code, retry_at, exhausted, used, gone = unpack(ARGV, 6)
local r = read(id, 'fence', 'lease_lost', 'status', 'task')
if repeated and r.fence == fence and (r.lease_lost or '0') == gone and (r.task == 'delayed' or r.status == 'FAILED') then return 'ok' end
local answer = held(r, fence)
if answer ~= 'ok' then return answer end
redis.call('ZREM', '{q4}leased:' .. stage, id)
redis.call('HSET', '{q4}report:' .. id, 'failure', failure)
if retry_at == '' then
  finish(id, 'PROCESSING', 'FAILED', now + announce_within)
  if gone == '1' then redis.call('HSET', '{q4}request:' .. id, 'lease_lost', '1') end
  publish(id, stage, 'FAILED', 'failed', code)
  return 'ok'
end
redis.call('HSET', '{q4}request:' .. id, 'task', 'delayed', 'ends', retry_at, 'updated', now)
if gone == '1' then redis.call('HSET', '{q4}request:' .. id, 'lease_lost', '1') end
if exhausted == '1' then redis.call('HINCRBY', '{q4}request:' .. id, 'exhausted', 1) end
if used == '0' then redis.call('HINCRBY', '{q4}request:' .. id, 'attempt', -1) end
redis.call('HDEL', '{q4}request:' .. id, 'worker', 'extended')
redis.call('ZADD', '{q4}delayed:' .. stage, retry_at, id)
publish(id, stage, 'PROCESSING', 'retry', code)
return 'ok'
