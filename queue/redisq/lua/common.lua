-- What several scripts do. This text stands before each script.

local again, now = ARGV[1] == '1', ARGV[2]

-- 12 bits of priority, highest first, and 41 bits of place: an integer that a double holds exactly.
local function score(priority, place)
  return (4095 - priority) * 2199023255552 + place
end

local function publish(id, stage, status, kind, rest)
  local line = id .. ' ' .. (stage or '-') .. ' ' .. status .. ' ' .. kind .. ' ' .. now
  if rest then line = line .. ' ' .. rest end
  redis.call('XADD', EVENTS, 'MAXLEN', '~', KEEP_EVENTS, '*', 'e', line)
end

local function become(from, to)
  redis.call('HINCRBY', COUNTS, from .. to, '1')
end

-- index names the hash and its field under which a value is found: the first 80 bits of its SHA-1. A hash of up to 128
-- fields is stored as one block without pointers; 16,384 of them stay so small up to some 1.5 million requests.
local function index(name, value)
  local h = redis.sha1hex(value)
  local a, b, c = tonumber(string.sub(h, 1, 8), 16), tonumber(string.sub(h, 9, 16), 16), tonumber(string.sub(h, 17, 20), 16)
  return name .. a % 16384, struct.pack('>I4I4I2', a, b, c)
end

-- identity returns session id, caller, deadline and token hash of a request from the pieces r of its record: session, caller,
-- priority, created, deadline, options, token, separated by NUL.
local function identity(id)
  local whole, piece, i = '', redis.call('HGET', RECORD .. id, 'r') or '', 0
  repeat
    whole, i = whole .. piece, i + 1
    piece = #piece == 64 and redis.call('HGET', RECORD .. id, 'r' .. i) or ''
  until piece == ''
  return string.match(whole, '^([^%z]*)%z([^%z]*)%z[^%z]*%z[^%z]*%z([^%z]*)%z[^%z]*%z(.*)$')
end

-- session_key is what a session is taken under: a caller with an API key has session names of its own, as in pipeline.
local function session_key(session, caller)
  if string.sub(caller, 1, 4) == 'key:' then return caller .. '\0' .. session end
  return session
end

-- plan files an entry for the minute of a time.
local function plan(entry, at)
  local minute = math.floor(at / 60000)
  if redis.call('EXISTS', MINUTE .. minute) == 0 then
    redis.call('ZADD', AGENDA, minute, minute)
  end
  redis.call('RPUSH', MINUTE .. minute, entry)
end

-- active says whether a request of that status goes on. A script that was cut off by the end of the machine may come back as its
-- first writes alone, under what happened after it, see TestCrash: so the sets are believed only as far as the record agrees, and
-- scripts write what decides first.
local function active(status)
  return status == 'Q' or status == 'P'
end

-- leave takes a task out of where it is.
local function leave(id, stage, state)
  if state == 'r' then
    redis.call('ZREM', READY .. stage, id)
  elseif state == 'l' then
    redis.call('ZREM', LEASED .. stage, id)
  elseif state == 'd' then
    redis.call('ZREM', DELAYED .. stage, id)
  end
end

-- finish ends a request whose task has left. Its record keeps no trace of the task but its stage, attempts and fence, and what it
-- does keep until the last write tells restore that the others may be missing. Whoever ended it has until grace to announce that.
local function finish(id, from, to, grace)
  redis.call('HSET', RECORD .. id, 'S', to, 'u', now, 'y', now)
  redis.call('ZREM', HANDOVER, id)
  redis.call('DEL', PROMISED .. id)
  redis.call('ZADD', ENDED, now + grace, id)
  plan('k' .. id, now + KEEP)
  become(from, to)
  redis.call('HDEL', RECORD .. id, 'k', 'q', 'x', 'n', 'v', 'w', 'e', 'A', 'i', 'ig')
end

-- wake makes delayed tasks ready.
local function wake(stage, ids)
  for _, id in ipairs(ids) do
    redis.call('ZREM', DELAYED .. stage, id)
    local r = redis.call('HMGET', RECORD .. id, 'S', 'q', 'k', 'g', 'f')
    if r[3] == 'd' and r[4] == stage and active(r[1]) then -- else half a script
      redis.call('HSET', RECORD .. id, 'k', 'r', 'f', '-' .. (r[5] or 0))
      redis.call('HDEL', RECORD .. id, 'x')
      redis.call('ZADD', READY .. stage, r[2], id)
      publish(id, stage, r[1], 'ready')
    end
  end
end

-- due wakes the delayed tasks of a stage whose time has come, and says whether those were all: 500 at most, since others wait for a
-- script to end.
local function due(stage)
  if redis.call('EXISTS', DELAYED .. stage) == 0 then return true end -- cheaper than the look itself, and there is seldom any
  local ids = redis.call('ZRANGEBYSCORE', DELAYED .. stage, '-inf', now, 'LIMIT', 0, 500)
  wake(stage, ids)
  return #ids < 500
end

-- held says whether a lease still holds its task: 1, or what the caller must answer: -1 it is lost, -2 the request was
-- canceled. r has fields f, S, k of the record in this order. Time alone takes no lease, the reaper does.
local function held(r, fence)
  if r[1] ~= fence then return -1 end
  if r[2] == 'X' then return -2 end
  if r[3] ~= 'l' then return -1 end
  return 1
end

-- completed ends the task of a lease with its manifest; last says that no stage follows. It returns what held does.
local function completed(id, fence, stage, last, where, rest)
  local r = redis.call('HMGET', RECORD .. id, 'f', 'S', 'k', 'E')
  local ok = held(r, fence)
  if ok ~= 1 then
    -- Done by this very lease: the manifest's event came first, or this call is tried again.
    local done = redis.call('HMGET', RECORD .. id, 'D', 'F')
    if done[1] == stage and done[2] == fence then return 1 end
    return ok
  end
  redis.call('ZREM', LEASED .. stage, id)
  redis.call('HSET', RECORD .. id, 'k', '', 'a', '0', 'D', stage, 'F', fence, 'u', now, 'm', where, 'mg', rest)
  if r[4] then redis.call('HDEL', EXTRA .. id, 'p', 'f') end
  if last then
    finish(id, 'P', 'C', ANNOUNCE)
    publish(id, stage, 'C', 'completed')
  else
    redis.call('ZADD', HANDOVER, now, id)
    publish(id, stage, 'P', 'completed')
  end
  return 1
end
