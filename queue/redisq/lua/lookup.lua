-- lookup reads a request. Called by Queue.Lookup and Queue.LookupToken.
--   ARGV[6]  request id, or an empty string to find it by
--   ARGV[7]  token hash
-- Returns its record with its id, its submission and the fields of its report; 'unknown' when there is none.
-- With requests.lua.
local id = ARGV[6]
if id == '' then id = redis.call('HGET', index('{q4}token:', ARGV[7])) end
if not id then return 'unknown' end
local r, list = read_all(id)
if not r.status then return 'unknown' end
append(list, {'id', id, 'submission', redis.call('GET', '{q4}submission:' .. id)})
return append(list, redis.call('HGETALL', '{q4}report:' .. id))
