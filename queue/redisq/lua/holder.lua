-- holder finds the request that has a session. Called by Queue.Holder.
--   ARGV[6]  session key
-- Returns its request id; 'unknown' when the session is free.
-- With requests.lua.
local holder = redis.call('HGET', index('{q4}session:', ARGV[6]))
if not holder then return 'unknown' end
local status = read(holder, 'status').status
if not status or status == 'FAILED' or status == 'CANCELED' then return 'unknown' end
return holder
