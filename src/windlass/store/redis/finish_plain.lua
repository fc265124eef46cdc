-- What it does: commits completions, if they have no unique keys and nothing waits for them.
-- Input:  ARGV of finish.lua, with completions only and without a follow-up batch.
-- Output: as finish.lua.
-- Relies: complete.lua. `otherwise` is the whole of finish.lua; nothing is written before all is known to be plain.

local completions = cmsgpack.unpack(ARGV[1])
local edges = {}
for at = 1, #completions, NARROW do edges[#edges + 1] = edges_key(completions[at]) end
if #edges > 0 and spread('EXISTS', edges[1], edges) > 0 then return otherwise() end
local states, ids = judge_all(completions, NARROW)
if not clean then return { table.concat(letters), '', 0 } end
local ledgers = costs and fetch(ids, 'l') or {}
for i = 1, #states do
  local at = i * NARROW - NARROW
  local took, queue, result = completions[at + 3], completions[at + 4], completions[at + 5]
  if not complete(ids[i], states[i], took, queue, result, ledgers[i], costs and costs[i] or 0) then return otherwise() end
end
count_completed()
go_on_when_full()
spool_tallies(ARGV[3])
write_lists()
tell()
return { table.concat(letters), '', 0 }
