-- Note what an entry has used so far, unless that is refused: sums of a window, in slices.
--
-- KEYS[1]  string: what the entry had used
-- KEYS[2]  hash of its caller: slice -> amount used in it
-- KEYS[3]  the same of all callers together
-- ARGV[1]  now, ARGV[2] window, ARGV[3] slice, all in milliseconds
-- ARGV[4]  what the entry has used so far, a whole number below 2^53; less than before changes nothing
-- ARGV[5]  most that the caller may use, ARGV[6] and all together; 0: no limit
-- ARGV[7]  1: note nothing where a limit would be passed
--
-- Returns 0 within the limits, 1 beyond the caller's, 2 beyond that of all together.

local now, window, slice = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local more = math.max(0, tonumber(ARGV[4]) - tonumber(redis.call('GET', KEYS[1]) or '0'))

-- A slice counts for a window after its end, so never too short. What no longer counts goes.
local function used(key)
  local sum, all = 0, redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    if (tonumber(all[i]) + 1) * slice + window <= now then
      redis.call('HDEL', key, all[i])
    else
      sum = sum + tonumber(all[i + 1])
    end
  end
  return sum
end

local beyond = 0
for i = 3, 2, -1 do
  local most = tonumber(ARGV[3 + i])
  if used(KEYS[i]) + more > most and most > 0 then
    beyond = i - 1
  end
end
if more == 0 or beyond > 0 and ARGV[7] == '1' then
  return beyond
end

local life = window + 2 * slice
redis.call('SET', KEYS[1], ARGV[4], 'PX', life)
for i = 2, 3 do
  redis.call('HINCRBY', KEYS[i], string.format('%d', math.floor(now / slice)), string.format('%d', more))
  redis.call('PEXPIRE', KEYS[i], life)
end
return beyond
