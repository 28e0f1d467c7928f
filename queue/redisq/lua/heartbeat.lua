-- heartbeat extends a lease and takes its news.
--   ARGV[3]  request id
--   ARGV[4]  fence
--   ARGV[5]  stage
--   ARGV[6]  new end of the lease
--   ARGV[7]  progress (JSON)
--   ARGV[8]  warning (JSON) or an empty string
--   ARGV[9]  how many warnings a request keeps
-- Returns 1, -1 the lease is lost, -2 the request was canceled.
local id, stage, progress, warning = ARGV[3], ARGV[5], ARGV[7], ARGV[8]
local r = redis.call('HMGET', RECORD .. id, 'f', 'S', 'k', 'n')
local ok = held(r, ARGV[4])
if ok ~= 1 then return ok end
redis.call('HSET', RECORD .. id, 'x', ARGV[6], 'u', now, 'E', 1)
if r[4] then redis.call('HDEL', RECORD .. id, 'n') end
redis.call('ZADD', LEASED .. stage, 'XX', ARGV[6], id)
local known = redis.call('HMGET', EXTRA .. id, 'p', 'w')
if warning ~= '' then
  local lines = known[2] or ''
  local _, kept = string.gsub(lines, '\n', '\n')
  if kept < tonumber(ARGV[9]) and not string.find('\n' .. lines, '\n' .. warning .. '\n', 1, true) then
    redis.call('HSET', EXTRA .. id, 'w', lines .. warning .. '\n')
  end
end
if progress ~= known[1] then
  redis.call('HSET', EXTRA .. id, 'p', progress)
  publish(id, stage, r[2], 'progress', progress)
end
return 1
