-- What it does: reads records of a space.
-- Input:  ARGV[1] space, ARGV[2] keys (msgpack list) or ''.
-- Output: {key, version, text, ...}.
-- Relies: exchange.lua.

local keys, found = nil, {}
if ARGV[2] == '' then
  local all = call('HGETALL', space_key(ARGV[1]))
  for i = 1, #all, 2 do found[all[i]] = all[i + 1] end
else
  keys = cmsgpack.unpack(ARGV[2])
  for i = 1, #keys do found[keys[i]] = call('HGET', space_key(ARGV[1]), keys[i]) or nil end
end
local out = {}
for key, packed in pairs(found) do
  local version, till = parse('>I6I7', packed)
  if till == 0 or till > now then
    local n = #out
    out[n + 1], out[n + 2], out[n + 3] = key, version, sub(packed, 14)
  end
end
return out
