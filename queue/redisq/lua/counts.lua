-- counts looks at one stage, after it has woken tasks whose time has come. Its cost grows with the number of those and of the
-- different priorities that wait, not of tasks.
--   ARGV[3]  stage
-- Returns ready, leased and delayed tasks, live slots, and when the longest waiting ready task was enqueued or 0; or -2 ask again:
-- there are more to wake.
local stage = ARGV[3]
if not due(stage) then return -2 end
local oldest, from = 0, '-inf'
while true do
  -- The first of a priority is its oldest.
  local head = redis.call('ZRANGEBYSCORE', READY .. stage, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not head[1] then break end
  local at = tonumber(redis.call('HGET', RECORD .. head[1], 'e'))
  if oldest == 0 or at < oldest then oldest = at end
  from = score(4095 - math.floor(head[2] / score(4094, 0)) - 1, 0)
end
local live = redis.call('ZCOUNT', SLOTS .. stage, '(' .. now, '+inf') + redis.call('ZCOUNT', LAUNCHED .. stage, '(' .. now, '+inf')
return {redis.call('ZCARD', READY .. stage), redis.call('ZCARD', LEASED .. stage), redis.call('ZCARD', DELAYED .. stage),
  live, oldest}
