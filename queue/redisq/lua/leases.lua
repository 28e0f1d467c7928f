-- leases lists the tasks that a worker holds. Called by Queue.Lost.
--   ARGV[6]  stage
--   ARGV[7]  worker, followed by a space
-- Returns a list of what lease_of returns.
local stage, worker = ARGV[6], ARGV[7]
local held = {}
for _, id in ipairs(redis.call('ZRANGE', '{q4}leased:' .. stage, 0, -1)) do
  local r = read(id, 'task', 'worker')
  if r.task == 'leased' and r.worker and string.sub(r.worker, 1, #worker) == worker then held[#held + 1] = (lease_of(id)) end
end
return held
