-- unannounced returns finished requests that nobody has announced in time, and again later unless announced is called. Called by
-- Queue.Reap.
--   ARGV[6]  how many at most
-- Returns a list of request ids, the longest overdue first.
local limit, later = ARGV[6], text(now + announce_within)
local ids = redis.call('ZRANGEBYSCORE', '{q4}finished', '-inf', now, 'LIMIT', 0, limit)
if repeated and #ids == 0 then ids = redis.call('ZRANGEBYSCORE', '{q4}finished', later, later, 'LIMIT', 0, limit) end
for _, id in ipairs(ids) do
  redis.call('ZADD', '{q4}finished', later, id)
end
return ids
