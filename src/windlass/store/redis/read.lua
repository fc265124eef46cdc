-- What it does: reads whole jobs.
-- Input:  ARGV[1] ids (16 bytes each), ARGV[2] fields to read besides the two records, of `l r e t p` (a string).
-- Output: {id, record, state or '', then each field or '', ...} of the ids that exist.
-- Relies: prelude.lua.

local ids, columns, out = {}, {}, {}
for at = 1, #ARGV[1], 16 do ids[#ids + 1] = sub(ARGV[1], at, at + 15) end
local groups = grouped(ids)
columns[1], columns[2] = fetch(ids, '', groups), fetch(ids, 'm', groups)
for i = 1, #ARGV[2] do columns[i + 2] = fetch(ids, sub(ARGV[2], i, i), groups) end
for i = 1, #ids do
  if columns[1][i] then
    out[#out + 1] = ids[i]
    for n = 1, #columns do out[#out + 1] = columns[n][i] or '' end
  end
end
return out
