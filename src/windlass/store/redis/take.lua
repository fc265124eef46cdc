-- What it does: uses of rates that are no starts, such as submissions: all of them or none.
-- Input:  ARGV[1] {key, n, window, burst, cost, ...}; a cost of 0 only looks, as if it were 1.
-- Output: {granted, count, limit, remaining, when it fits, ...}.
-- Relies: limit.lua; `takes` and `took:<key>` are like `limits` and `rate:<key>`, without the guard of starts.

local WIDE = 5
local items, rows, planned, fits, all = cmsgpack.unpack(ARGV[1]), {}, {}, {}, true
for at = 1, #items, WIDE do
  local key, n, window, burst, cost = unpack(items, at, at + 4)
  local row = rows[key]
  if not row then
    local packed = call('HGET', KEY.takes, key)
    row = packed and Limit.unpack(key, packed, KEY.took_ .. key, 0) or Limit.make(key, KEY.took_ .. key, 0)
    rows[key], planned[key] = row, 0
  end
  if row.n ~= n or row.window ~= window or row.burst ~= burst then Limit.set_rate(row, n, window, burst) end
  local wanted = Limit.capped(row, max(cost, 1))
  fits[at] = Limit.left(row) - planned[key] >= wanted
  if cost > 0 then
    planned[key] = planned[key] + wanted
    all = all and fits[at]
  end
end
local out = {}
for at = 1, #items, WIDE do
  local row, cost = rows[items[at]], items[at + 4]
  local granted = fits[at] and (all or cost == 0)
  if granted and cost > 0 then Limit.spend(row, cost) end
end
for at = 1, #items, WIDE do
  local row, cost, n = rows[items[at]], items[at + 4], #out
  local most = row.burst >= 0 and row.burst or row.n
  local count = row.burst >= 0 and row.burst - floor(row.tokens / row.window) or row.used
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = fits[at] and (all or cost == 0) and 1 or 0, count, most, max(most - count, 0)
  out[n + 5] = fits[at] and now or max(Limit.opens(row, max(cost, 1)), now + 1)
end
Limit.settle(KEY.takes)
return out
