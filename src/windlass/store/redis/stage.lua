-- What it does: keeps a chunk of a call that is too big for one script, out of sight until the call is committed.
-- Input:  ARGV[1] transaction, ARGV[2] chunk, ARGV[3] batch, ARGV[4] edges that leave the call: child and parent, 16 bytes
--         each.
-- Output: {'ok'} | {'unknown', parent}.
-- Relies: insert.lua; abandoned stages are dropped by prune after 10 minutes.

local children, parents = {}, {}
for at = 1, #ARGV[4], 32 do
  children[#children + 1], parents[#parents + 1] = sub(ARGV[4], at, at + 15), sub(ARGV[4], at + 16, at + 31)
end
local unknown = missing_parent(children, parents)
if unknown then return { 'unknown', unknown } end
call('HSET', stage_key(ARGV[1]), ARGV[2], ARGV[3])
call('ZADD', KEY.stages, server_time(), ARGV[1])
return { 'ok' }
