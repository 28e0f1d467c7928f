-- handovers lists completed stages whose next task is missing. Called by Queue.Reap.
--   ARGV[6]  latest completion that counts
--   ARGV[7]  how many at most
-- Returns a list of records, the earliest completion first, each with its id.
-- With requests.lua.
local latest, limit = ARGV[6], ARGV[7]
local missing = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', '{q4}handover', '-inf', latest, 'LIMIT', 0, limit)) do
  local r, list = read_all(id)
  if r.manifest_name and active(r.status) and (r.task or '') == '' then
    missing[#missing + 1] = append(list, {'id', id})
  else -- half a script: it is under way already, or has finished
    redis.call('ZREM', '{q4}handover', id)
  end
end
return missing
