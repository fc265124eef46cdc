-- What it does: operators' acts, newest first.
-- Input:  ARGV[1] number of the entry behind which to go on, or '', ARGV[2] how many.
-- Output: {number of the first, packed entries {at, actor, action, target, detail}}; each next one has a number one less.
-- Relies: prelude.lua, `write_audit`.

local latest = tonumber(call('GET', KEY.acts) or '0')
local from = ARGV[1] ~= '' and max(latest - ARGV[1] + 1, 0) or 0
return { latest - from, call('LRANGE', KEY.audit, from, from + ARGV[2] - 1) }
