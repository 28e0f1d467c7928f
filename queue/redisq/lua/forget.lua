-- forget removes a finished request before its time; its entry in the agenda finds nothing then. Called by Queue.Forget.
--   ARGV[6]  request id
-- Returns 'ok', or 'active'.
-- With requests.lua.
local id = ARGV[6]
local r = read(id, 'status')
if not r.status then return 'ok' end
if active(r.status) then return 'active' end
forget(id, r)
return 'ok'
