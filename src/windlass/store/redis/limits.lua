-- What it does: how keys stand.
-- Input:  ARGV[1] keys (msgpack list) or '' and ARGV[2] a cursor ('0' to begin) to be told the names of all.
-- Output: a list for each key there is, as `Limit.tell` makes it; or {cursor, names}.
-- Relies: limit.lua.

if ARGV[1] == '' then return call('HSCAN', KEY.limits, ARGV[2], 'COUNT', 1000) end
local out = {}
for _, key in ipairs(cmsgpack.unpack(ARGV[1])) do out[#out + 1] = Limit.tell(key) end
return out
