-- cancel finishes a request that is not finished. The fence stays in the record, from which its worker learns why its lease is gone.
-- Called by Queue.Cancel.
--   ARGV[6]  request id
-- Returns 'ok', 'unknown' or 'finished'.
local id = ARGV[6]
local r = read(id, 'status', 'stage', 'task', 'updated')
if not r.status then return 'unknown' end
if repeated and r.status == 'CANCELED' and r.updated == now then return 'ok' end
if not active(r.status) then return 'finished' end
leave(id, r.stage, r.task)
redis.call('HDEL', '{q4}report:' .. id, 'failure')
finish(id, r.status, 'CANCELED', now + announce_within)
publish(id, r.stage, 'CANCELED', 'canceled')
return 'ok'
