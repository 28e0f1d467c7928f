-- lookup reads a request. Called by Queue.Lookup and Queue.LookupToken.
--   ARGV[6]  request id, or an empty string to find it by
--   ARGV[7]  token hash
-- Returns JSON: its record with its id and the fields of its report; 'unknown' when there is none.
local id = ARGV[6]
if id == '' then id = redis.call('HGET', index(TOKENS, ARGV[7])) end
if not id then return 'unknown' end
local r = read_all(REQUEST .. id)
if not r.status then return 'unknown' end
for name, value in pairs(read_all(REPORT .. id)) do r[name] = value end
r.id = id
return cjson.encode(r)
