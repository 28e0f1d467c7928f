-- announced notes that the end of a request was announced. Called by Queue.Announced.
--   ARGV[6]  request id
-- Returns 1, or 0 when that was known or there is no such request.
return redis.call('ZREM', '{q4}finished', ARGV[6])
