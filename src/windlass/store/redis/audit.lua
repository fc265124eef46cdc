-- What it does: operators' acts, newest first.
-- Input:  ARGV[1] from, ARGV[2] to (positions).
-- Output: packed entries {at, actor, action, target, detail}.
-- Relies: prelude.lua.

return call('LRANGE', KEY.audit, ARGV[1], ARGV[2])
