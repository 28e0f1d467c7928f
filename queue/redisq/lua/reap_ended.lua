-- reap_ended hands out requests whose end nobody has announced in time, and again after ANNOUNCE unless announced is called.
--   ARGV[3]  how many at most
-- Returns request ids, the longest overdue first.
local later = string.format('%.0f', now + ANNOUNCE)
local ids = redis.call('ZRANGEBYSCORE', ENDED, '-inf', now, 'LIMIT', 0, ARGV[3])
if again and #ids == 0 then ids = redis.call('ZRANGEBYSCORE', ENDED, later, later, 'LIMIT', 0, ARGV[3]) end
for _, id in ipairs(ids) do
  redis.call('ZADD', ENDED, later, id)
end
return ids
