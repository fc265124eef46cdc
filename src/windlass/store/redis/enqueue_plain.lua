-- What it does: stores a batch of new jobs that have nothing but arguments, if their queues are strict and without limits.
-- Input:  ARGV of enqueue.lua, of a batch without specials and of no transaction.
-- Output: as enqueue.lua.
-- Relies: plain.lua. `otherwise` is the whole of enqueue.lua.

local batch = cmsgpack.unpack(ARGV[1])
local lanes, lined = open_lanes(batch[1])
if lined then return otherwise() end
name_queues(lanes)
store_batch(lanes, batch[2], batch[3])
write_lists()
for l = 1, #lanes do
  if lanes[l].n then make_ready(lanes[l].runtime, lanes[l].queue) end
end
tell()
return { 'ok', {} }
