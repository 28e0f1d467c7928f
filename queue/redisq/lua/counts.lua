-- counts looks at one stage, after it has woken tasks that are due. Its cost grows with the number of those and of the different
-- priorities that wait, not of tasks. Called by Queue.Counts.
--   ARGV[6]  stage
-- Returns a list: ready, leased and delayed tasks, live slots, and when the longest waiting ready task was enqueued or 0; 'more' when
-- there are more to wake: call again.
local stage = ARGV[6]
if not wake_due(stage) then return 'more' end
local oldest, from = 0, '-inf'
while true do
  -- The first of a priority is its oldest.
  local first = redis.call('ZRANGEBYSCORE', '{q4}ready:' .. stage, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not first[1] then break end
  local at = tonumber(read(first[1], 'enqueued').enqueued)
  if oldest == 0 or at < oldest then oldest = at end
  from = score(priority_of(first[2]) - 1, 0)
end
local live = redis.call('ZCOUNT', '{q4}slots:' .. stage, '(' .. now, '+inf') + redis.call('ZCOUNT', '{q4}launched:' .. stage, '(' .. now, '+inf')
return {redis.call('ZCARD', '{q4}ready:' .. stage), redis.call('ZCARD', '{q4}leased:' .. stage), redis.call('ZCARD', '{q4}delayed:' .. stage), live, oldest}
