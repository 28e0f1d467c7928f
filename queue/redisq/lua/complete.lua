-- complete ends a task with its manifest. Called by lease.Complete.
--   ARGV[6]  request id
--   ARGV[7]  fence
--   ARGV[8]  stage
--   ARGV[9]  1 when no stage follows, else 0
--   ARGV[10] to [12]  manifest (object)
-- Returns 'ok', 'lost' or 'canceled'.
local id, fence, stage, last = ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1'
return complete(id, fence, stage, last, 10)
