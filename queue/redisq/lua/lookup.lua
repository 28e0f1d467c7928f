-- lookup reads a request. Called by Queue.Lookup and Queue.LookupToken.
--   ARGV[6]  request id, or an empty string to find it by
--   ARGV[7]  token hash
-- Returns its record with its id and the fields of its report; 'unknown' when there is none.
local id = ARGV[6]
if id == '' then id = redis.call('HGET', index('{q3}token:', ARGV[7])) end
if not id then return 'unknown' end
local r, list = read_all(id)
if not r.status then return 'unknown' end
return append(append(list, {'id', id}), redis.call('HGETALL', '{q3}report:' .. id))
