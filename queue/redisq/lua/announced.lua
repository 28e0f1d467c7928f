-- announced takes down that the end of a request was announced.
--   ARGV[3]  request id
-- Returns 1, 0 that was known, or there is no such request.
return redis.call('ZREM', ENDED, ARGV[3])
