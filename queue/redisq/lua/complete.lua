-- complete ends a task with its manifest.
--   ARGV[3]  request id
--   ARGV[4]  fence
--   ARGV[5]  stage
--   ARGV[6]  1 when it is the last stage, else 0
--   ARGV[7]  manifest: bucket and name, [8] generation, size, crc32c and content type
-- Returns 1, -1 the lease is lost, -2 the request was canceled.
return completed(ARGV[3], ARGV[4], ARGV[5], ARGV[6] == '1', ARGV[7], ARGV[8])
