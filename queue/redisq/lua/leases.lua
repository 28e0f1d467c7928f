-- leases lists the tasks that a worker holds. Called by Queue.Lost.
--   ARGV[6]  stage
--   ARGV[7]  worker, followed by a space
-- Returns a list of records, each with its id.
local stage, worker = ARGV[6], ARGV[7]
local held = {}
for _, id in ipairs(redis.call('ZRANGE', '{q3}leased:' .. stage, 0, -1)) do
  local r, list = read_all(id)
  if r.task == 'leased' and r.worker and string.sub(r.worker, 1, #worker) == worker then
    held[#held + 1] = append(list, {'id', id})
  end
end
return held
