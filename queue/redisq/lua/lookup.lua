-- lookup reads a request.
--   ARGV[3]  request id, or an empty string to find it by
--   ARGV[4]  token hash as in the record
-- Returns request id, its record and its extra as lists of fields and values; nothing when there is no such request.
local id = ARGV[3]
if id == '' then id = redis.call('HGET', index(TOKENS, ARGV[4])) end
if not id then return {} end
local record = redis.call('HGETALL', RECORD .. id)
if #record == 0 then return {} end
return {id, record, redis.call('HGETALL', EXTRA .. id)}
