-- Admit one call unless its caller's window is full: a sliding log.
--
-- KEYS[1]  list: times of admitted calls of this caller, newest first, in microseconds
-- ARGV[1]  now, in microseconds
-- ARGV[2]  window, in microseconds
-- ARGV[3]  calls in a window
--
-- Returns 0 when the call is admitted, else after how many microseconds the next one could be.
-- Microseconds since 1970 are exact in Lua's doubles until the year 2255.

local now, window, calls = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- Instances' clocks differ: a late one must not reopen a window.
local newest = redis.call('LINDEX', KEYS[1], 0)
if newest and tonumber(newest) > now then
  now = tonumber(newest)
end

local nth = redis.call('LINDEX', KEYS[1], calls - 1)
if nth and tonumber(nth) + window > now then
  return tonumber(nth) + window - now
end

redis.call('LPUSH', KEYS[1], string.format('%d', now))
redis.call('LTRIM', KEYS[1], 0, calls - 1)
redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000) + 1000)
return 0
