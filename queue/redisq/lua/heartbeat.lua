-- heartbeat extends a lease and keeps what its worker reports. Called by lease.Heartbeat.
--   ARGV[6]  request id
--   ARGV[7]  fence
--   ARGV[8]  stage
--   ARGV[9]  new end of the lease
--   ARGV[10] progress (JSON)
--   ARGV[11] warning (JSON) or an empty string
--   ARGV[12] how many warnings a request keeps
-- Returns 'ok', 'lost' or 'canceled'.
local id, fence, stage, ends, progress, warning, limit = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], tonumber(ARGV[12])
local r = read(id, 'fence', 'lease_lost', 'status', 'task', 'extended')
local answer = held(r, fence)
if answer ~= 'ok' then return answer end
redis.call('HSET', '{q4}request:' .. id, 'ends', ends, 'updated', now)
if r.extended then redis.call('HDEL', '{q4}request:' .. id, 'extended') end
redis.call('ZADD', '{q4}leased:' .. stage, 'XX', ends, id)

local known = redis.call('HMGET', '{q4}report:' .. id, 'progress', 'warnings')
if warning ~= '' then
  local lines = known[2] or ''
  local _, kept = string.gsub(lines, '\n', '\n')
  if kept < limit and not string.find('\n' .. lines, '\n' .. warning .. '\n', 1, true) then
    redis.call('HSET', '{q4}report:' .. id, 'warnings', lines .. warning .. '\n')
  end
end
if progress ~= known[1] then
  redis.call('HSET', '{q4}report:' .. id, 'progress', progress)
  publish(id, stage, r.status, 'progress', progress)
end
return 'ok'
