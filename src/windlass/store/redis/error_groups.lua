-- What it does: the groups of dead letters, the largest first.
-- Input:  ARGV[1] most.
-- Output: {fingerprint, how many, first end, last end, id of the last, ...}.
-- Relies: ledger.lua: `fingerprints` has each by the size of its group.

local out, n = {}, 0
for _, print in ipairs(call('ZREVRANGE', KEY.fingerprints, 0, tonumber(ARGV[1]) - 1)) do
  local key = failures_key(print)
  local first, last = call('ZRANGE', key, 0, 0, 'WITHSCORES'), call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
  if first[1] then
    out[n + 1], out[n + 2], out[n + 3], out[n + 4], out[n + 5] = print, call('ZCARD', key), tonumber(first[2]), tonumber(last[2]), last[1]
    n = n + 5
  end
end
return out
