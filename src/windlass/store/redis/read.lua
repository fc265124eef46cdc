-- What it does: reads whole jobs.
-- Input:  ARGV[1] ids (16 bytes each), ARGV[2] fields to read besides the two records, of `r e t p` (a string).
-- Output: {id, record, state or '', then each field or '', ...} of the ids that exist.
-- Relies: prelude.lua.

local ids, suffixes = {}, { '', 'm' }
for at = 1, #ARGV[1], 16 do ids[#ids + 1] = sub(ARGV[1], at, at + 15) end
for i = 1, #ARGV[2] do suffixes[i + 2] = sub(ARGV[2], i, i) end
local values, width, out = fetch(ids, suffixes), #suffixes, {}
for i = 1, #ids do
  local base = (i - 1) * width
  if values[base + 1] then
    out[#out + 1] = ids[i]
    for w = 1, width do out[#out + 1] = values[base + w] or '' end
  end
end
return out
