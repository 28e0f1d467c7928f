-- giveback_all makes the leased tasks of a stage ready at their old places, as if they had not been claimed, whether their leases
-- have run out or not, and frees every slot of the stage.
--   ARGV[3]  stage
--   ARGV[4]  how many tasks at most
-- Returns how many leases there were.
local stage = ARGV[3]
local ids = redis.call('ZRANGE', LEASED .. stage, 0, tonumber(ARGV[4]) - 1)
for _, id in ipairs(ids) do
  local record = RECORD .. id
  local r = redis.call('HMGET', record, 'S', 'k', 'g', 'q', 'f')
  redis.call('ZREM', LEASED .. stage, id)
  if r[2] == 'l' and r[3] == stage and active(r[1]) then -- else half a script
    redis.call('HSET', record, 'k', 'r', 'f', '-' .. (r[5] or 0), 'u', now)
    redis.call('HINCRBY', record, 'a', -1)
    redis.call('HDEL', record, 'x', 'w', 'n')
    redis.call('ZADD', READY .. stage, r[4], id)
    publish(id, stage, 'P', 'given_back')
  end
end
redis.call('DEL', SLOTS .. stage, LAUNCHED .. stage)
return #ids
