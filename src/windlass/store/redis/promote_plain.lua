-- What it does: says when time will bring something, if it has brought nothing yet and nothing is left over.
-- Input:  as promote.lua.
-- Output: as promote.lua.
-- Relies: prelude.lua. `otherwise` is the whole of promote.lua.

local wait = call('EXISTS', KEY.commits, KEY.settle, KEY.reviving) == 0 and next_wait()
if not wait or wait == 0 then return otherwise() end
return { 0, wait, 0 }
