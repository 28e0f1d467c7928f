-- What scripts about whole requests do, in front of those that say so. Redis makes every function anew for each call, at 0.3 us each,
-- so what a claim does not need is not in functions.lua.

-- read_all returns every field of a record, by name and as the list of names and values in turn in which scripts return records.
local function read_all(id)
  local list, fields = redis.call('HGETALL', '{q4}request:' .. id), {}
  for i = 1, #list, 2 do fields[list[i]] = list[i + 1] end
  return fields, list
end

-- append adds names and values to such a list; a later value counts.
local function append(list, more)
  for _, value in ipairs(more) do list[#list + 1] = value end
  return list
end

-- index returns the hash and its field under which a value is found. In 65,536 small hashes, which Redis keeps as one block each, the
-- session and the token of a request take 113 bytes together; as a key each they would take 321 (a million requests).
local function index(name, value)
  local digest = redis.sha1hex(value)
  return name .. string.sub(digest, 1, 4), string.sub(digest, 5, 20)
end

-- session_key is what a session is taken under: a caller with an API key has session names of its own, as in package pipeline.
local function session_key(session, caller)
  if string.sub(caller, 1, 4) == 'key:' then return caller .. '\0' .. session end
  return session
end

-- fail ends a request with a failure that the queue itself found; the holder of its lease has lost it. No other program announces it.
local function fail(id, from, stage, failure, code)
  redis.call('HSET', '{q4}report:' .. id, 'failure', failure)
  finish(id, from, 'FAILED', now)
  redis.call('HSET', '{q4}request:' .. id, 'lease_lost', '1')
  publish(id, stage, 'FAILED', 'failed', code)
end

-- forget removes everything about a finished request but its events.
local function forget(id, r)
  local _, session, caller, token = unpack(cjson.decode(redis.call('GET', '{q4}submission:' .. id)))
  redis.call('DEL', '{q4}request:' .. id, '{q4}submission:' .. id, '{q4}report:' .. id, '{q4}promised:' .. id)
  redis.call('ZREM', '{q4}finished', id)
  local sessions, field = index('{q4}session:', session_key(session, caller))
  if redis.call('HGET', sessions, field) == id then redis.call('HDEL', sessions, field) end
  redis.call('HDEL', index('{q4}token:', token))
  count(r.status, '')
end
