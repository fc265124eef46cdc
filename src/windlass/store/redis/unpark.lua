-- What it does: re-admits jobs parked under a key, in their old place.
-- Input:  ARGV[1] key, ARGV[2] limit.
-- Output: how many.
-- Relies: prelude.lua.

go_on_when_full()
local ids = call('ZRANGE', park_key(ARGV[1]), 0, tonumber(ARGV[2]) - 1)
load(ids)
local moved = 0
for i = 1, #ids do
  local job = jobs[ids[i]]
  if job then
    job.park, job.dirty = '', true
    moved = moved + 1
  else
    call('ZREM', park_key(ARGV[1]), ids[i])
  end
end
flush()
if call('EXISTS', park_key(ARGV[1])) == 0 then call('SREM', KEY.parks, ARGV[1]) end
return moved
