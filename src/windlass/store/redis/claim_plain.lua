-- What it does: leases waiting jobs that have a short form, if no lines are to be looked at and the claim is no repeat.
-- Input:  see lease.lua.
-- Output: as claim.lua.
-- Relies: serve.lua. `otherwise` is the whole of claim.lua; until then nothing was written but a lease token nobody was given.

local previous = call('HGET', KEY.sessions, session)
if stirred or previous and parse('>I6', previous) == number then return otherwise() end
go_on_when_full()
local plain = serve(function(runtime, want) return take(lines_of(runtime, open_queues(runtime), want), want) end)
if not plain then return otherwise() end
remember()
tell_hunger()
local due = #rows == 0 and soonest_due(asked)
for key, n in pairs(heads) do call('ZREMRANGEBYRANK', key, 0, n - 1) end
write_lists()
if News then News.write() end
return { due and max(due - now, 0) or -1, more, token or 0, token and now or 0, rows, '', 0 }
