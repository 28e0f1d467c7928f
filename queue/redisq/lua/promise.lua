-- promise keeps how large each of the uploads asked for may become.
--   ARGV[3]  request id
--   ARGV[4]  how many files the capture may have, [5] how many bytes
--   ARGV[6]  how many uploads have arrived; then, for each of them, its name and size
--   and for each file asked for its name and size, 0 for an equal share of what is left
-- Returns the sizes of the files asked for, or -1 no such request, -2 it has ended, -3 there is no room for all of them.
local id, files, left, arrived = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local status = redis.call('HGET', RECORD .. id, 'S')
if not status then return -1 end
if not active(status) then return -2 end

local kept = redis.call('GET', PROMISED .. id)
local promised = kept and cmsgpack.unpack(kept) or {}
local function short(name)
  local _, digest = index('', name)
  return digest
end

local first = 7 + 2 * arrived
for i = 7, first - 1, 2 do promised[short(ARGV[i])] = tonumber(ARGV[i + 1]) end
local names, open = {}, 0
for i = first, #ARGV, 2 do
  local name, size = short(ARGV[i]), tonumber(ARGV[i + 1])
  names[#names + 1] = name
  if not promised[name] then
    promised[name] = size
    if size == 0 then open = open + 1 end
  end
end
local count = 0
for _, size in pairs(promised) do count, left = count + 1, left - size end
if count > files or left < open then return -3 end -- a byte for each

local granted = {}
for i, name in ipairs(names) do
  if promised[name] == 0 and tonumber(ARGV[first + 2 * i - 1]) == 0 and open > 0 then promised[name] = math.floor(left / open) end
  granted[i] = promised[name]
end
redis.call('SET', PROMISED .. id, cmsgpack.pack(promised))
return granted
