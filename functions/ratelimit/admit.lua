-- Admit one call unless a window is full: a sliding log for all callers and one for this caller, decided together.
--
-- KEYS[1]  list: times of admitted calls of all callers, newest first, in microseconds
-- KEYS[2]  the same for this caller
-- ARGV[1]  now, in microseconds
-- ARGV[2]  window, in microseconds
-- ARGV[3]  calls of all callers in a window
-- ARGV[4]  calls of this caller in a window
--
-- Returns 0 when the call is admitted, else after how many microseconds the next one could be.
-- Microseconds since 1970 are exact in Lua's doubles until the year 2255.

local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])

-- Instances' clocks differ: a late one must not reopen a window.
local newest = redis.call('LINDEX', KEYS[1], 0)
if newest and tonumber(newest) > now then
  now = tonumber(newest)
end

local wait = 0
for i = 1, 2 do
  local nth = redis.call('LINDEX', KEYS[i], tonumber(ARGV[2 + i]) - 1)
  if nth then
    wait = math.max(wait, tonumber(nth) + window - now)
  end
end
if wait > 0 then
  return wait
end

for i = 1, 2 do
  redis.call('LPUSH', KEYS[i], string.format('%d', now))
  redis.call('LTRIM', KEYS[i], 0, tonumber(ARGV[2 + i]) - 1)
  redis.call('PEXPIRE', KEYS[i], math.ceil(window / 1000) + 1000)
end
return 0
