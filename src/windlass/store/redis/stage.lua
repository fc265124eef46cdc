-- What it does: keeps a chunk of a call that is too big for one script, out of sight until the call is committed.
-- Input:  ARGV[1] transaction, ARGV[2] chunk, ARGV[3] batch, ARGV[4] parents outside the call (16 bytes each).
-- Output: {'ok'} | {'unknown', parent}.
-- Relies: prelude.lua; abandoned stages are dropped by prune after 10 minutes.

local parents = {}
for at = 1, #ARGV[4], 16 do parents[#parents + 1] = sub(ARGV[4], at, at + 15) end
local found = fetch(parents, '')
for i = 1, #parents do
  if not found[i] then return { 'unknown', parents[i] } end
end
call('HSET', stage_key(ARGV[1]), ARGV[2], ARGV[3])
call('ZADD', KEY.stages, server_time(), ARGV[1])
return { 'ok' }
