-- What it does: where the dead letters of some fingerprints stand, or which are due to be retried.
-- Input:  ARGV[1] {fingerprints, instant before which the retry is due or false, offset, most}.
-- Output: of fingerprints {how many, key of a set of ids, ...}; else the ids as one string, soonest first.
-- Relies: ledger.lua.

local prints, before, offset, most = unpack(cmsgpack.unpack(ARGV[1]), 1, 4)
if #prints == 0 then
  return table.concat(call('ZRANGEBYSCORE', KEY.retries, '-inf', '(' .. text(before), 'LIMIT', offset, most))
end
local out = { 0 }
for i = 1, #prints do
  local n = call('ZCARD', failures_key(prints[i]))
  if n > 0 then out[1], out[#out + 1] = out[1] + n, failures_key(prints[i]) end
end
return out
