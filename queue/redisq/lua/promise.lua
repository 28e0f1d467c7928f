-- promise keeps how large each of the uploads asked for may become. Called by Queue.Promise.
--   ARGV[6]  request id
--   ARGV[7]  how many files the capture may have, [8] how many bytes
--   ARGV[9]  how many uploads have arrived; then, for each of them, its name and size
--   and for each file asked for its name and size, 0 for an equal share of what is left
-- Returns the sizes of the files asked for as a list; 'unknown', 'finished', or 'no_room' for all of them.
local id, files, left, arrived = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local status = read(id, 'status').status
if not status then return 'unknown' end
if not active(status) then return 'finished' end

local promised = cjson.decode(redis.call('GET', '{q4}promised:' .. id) or '{}')
local asked = 10 + 2 * arrived
for i = 10, asked - 1, 2 do promised[ARGV[i]] = tonumber(ARGV[i + 1]) end
local open = 0
for i = asked, #ARGV, 2 do
  local name, size = ARGV[i], tonumber(ARGV[i + 1])
  if not promised[name] then
    promised[name] = size
    if size == 0 then open = open + 1 end
  end
end
local taken = 0
for _, size in pairs(promised) do taken, left = taken + 1, left - size end
if taken > files or left < open then return 'no_room' end -- a byte for each

local granted = {}
for i = asked, #ARGV, 2 do
  local name = ARGV[i]
  if promised[name] == 0 and tonumber(ARGV[i + 1]) == 0 and open > 0 then promised[name] = math.floor(left / open) end
  granted[#granted + 1] = promised[name]
end
redis.call('SET', '{q4}promised:' .. id, cjson.encode(promised))
return granted
