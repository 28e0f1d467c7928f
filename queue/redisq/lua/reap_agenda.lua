-- reap_agenda works off the entries of the earliest minute that has come: deadlines that passed, requests to forget. What
-- is not due yet, in the present minute, goes back.
--   ARGV[3]  how many entries at most
-- Returns requests past their deadline, requests forgotten, and 1 when more is due.
local function forget(id)
  local session, caller, _, token = identity(id)
  redis.call('DEL', RECORD .. id, EXTRA .. id, PROMISED .. id)
  redis.call('ZREM', ENDED, id)
  local hash, field = index(SESSIONS, session_key(session, caller))
  if redis.call('HGET', hash, field) == id then redis.call('HDEL', hash, field) end
  redis.call('HDEL', index(TOKENS, token))
end

local minute = redis.call('ZRANGEBYSCORE', AGENDA, '-inf', math.floor(now / 60000), 'LIMIT', 0, 1)[1]
if not minute then return {0, 0, 0} end
local late, forgotten, present = 0, 0, tonumber(minute) == math.floor(now / 60000)
for _, entry in ipairs(redis.call('LPOP', MINUTE .. minute, ARGV[3]) or {}) do
  local what, id = string.sub(entry, 1, 1), string.sub(entry, 2)
  local r = redis.call('HMGET', RECORD .. id, 'S', 'y', 'g', 'k')
  local status = r[1]
  if what == 'd' and active(status) then
    local _, _, deadline = identity(id)
    if tonumber(deadline) > tonumber(now) then
      plan(entry, deadline)
    else
      leave(id, r[3], r[4])
      redis.call('HSET', RECORD .. id, 'E', 1)
      redis.call('HSET', EXTRA .. id, 'f', '!deadline_exceeded')
      finish(id, status, 'F', 0)
      redis.call('HDEL', RECORD .. id, 'f')
      publish(id, r[3], 'F', 'failed', 'deadline_exceeded')
      late = late + 1
    end
  elseif what == 'k' and status and not active(status) then
    local at = r[2] + KEEP
    if at > tonumber(now) then
      plan(entry, at)
    else
      forget(id)
      become(status, '<')
      forgotten = forgotten + 1
    end
  end
end
if redis.call('EXISTS', MINUTE .. minute) == 0 then redis.call('ZREM', AGENDA, minute) end
local more = 0
if not present then more = redis.call('ZCOUNT', AGENDA, '-inf', math.floor(now / 60000)) end
return {late, forgotten, math.min(more, 1)}
