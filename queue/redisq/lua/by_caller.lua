-- by_caller files the session of a request under its caller, for the migration from version 1, which filed it under its name alone.
--   ARGV[3]  request id
-- Returns 1, 0 when the session is filed under its name, or is another's by now.
local session, caller, _, _ = identity(ARGV[3])
if not session then return 0 end
local key = session_key(session, caller)
if key == session then return 0 end
local name, field = index(SESSIONS, session)
if redis.call('HGET', name, field) == ARGV[3] then redis.call('HDEL', name, field) end
local hash, own = index(SESSIONS, key)
return redis.call('HSETNX', hash, own, ARGV[3])
