-- give_back_all makes the leased tasks of a stage ready at their old places, as if they had not been claimed, whether their leases
-- have run out or not, and frees every slot of the stage. Called by Queue.GiveBackAll.
--   ARGV[6]  stage
--   ARGV[7]  how many tasks at most
-- Returns how many leases there were.
local stage, limit = ARGV[6], tonumber(ARGV[7])
local ids = redis.call('ZRANGE', '{q4}leased:' .. stage, 0, limit - 1)
for _, id in ipairs(ids) do
  local r = read(id, 'status', 'stage', 'task', 'score')
  redis.call('ZREM', '{q4}leased:' .. stage, id)
  if r.task == 'leased' and r.stage == stage and active(r.status) then -- else half a script
    make_ready(id, stage, r, 'PROCESSING', 'given_back')
    redis.call('HSET', '{q4}request:' .. id, 'updated', now)
    redis.call('HINCRBY', '{q4}request:' .. id, 'attempt', -1)
  end
end
redis.call('DEL', '{q4}slots:' .. stage, '{q4}launched:' .. stage)
return #ids
