-- reap_agenda works off the entries of the earliest minute that is due: deadlines that passed, requests to forget. What is not due yet,
-- in the present minute, goes back. Called by Queue.Reap.
--   ARGV[6]  how many entries at most
--   ARGV[7]  failure (JSON) of a request past its deadline, without its stage; [8] its code
-- Returns a list: requests past their deadline, requests forgotten, and 1 when more is due.
-- With requests.lua.
local limit, failure, code = ARGV[6], ARGV[7], ARGV[8]

-- failure_at returns that failure for a request at a stage.
local function failure_at(stage)
  local f = cjson.decode(failure)
  f.stage = stage
  return cjson.encode(f)
end

local this_minute = math.floor(now / 60000)
local minute = redis.call('ZRANGEBYSCORE', '{q4}agenda', '-inf', this_minute, 'LIMIT', 0, 1)[1]
if not minute then return {0, 0, 0} end
local late, forgotten = 0, 0
for _, entry in ipairs(redis.call('LPOP', '{q4}agenda:' .. minute, limit) or {}) do
  local what, id = string.match(entry, '^(%S+) (.+)$')
  local r = read(id, 'status', 'stage', 'task', 'finished')
  if what == 'deadline' and active(r.status) then
    local deadline = cjson.decode(redis.call('GET', '{q4}submission:' .. id))[6]
    if deadline > tonumber(now) then
      plan(entry, deadline)
    else
      leave(id, r.stage, r.task)
      fail(id, r.status, r.stage, failure_at(r.stage), code)
      late = late + 1
    end
  elseif what == 'forget' and r.status and not active(r.status) then
    local at = r.finished + keep_finished
    if at > tonumber(now) then
      plan(entry, at)
    else
      forget(id, r)
      forgotten = forgotten + 1
    end
  end
end
if redis.call('EXISTS', '{q4}agenda:' .. minute) == 0 then redis.call('ZREM', '{q4}agenda', minute) end
local more = 0
if tonumber(minute) ~= this_minute then more = redis.call('ZCOUNT', '{q4}agenda', '-inf', this_minute) end
return {late, forgotten, math.min(more, 1)}
