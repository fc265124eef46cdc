-- What it does: the workers that are known.
-- Input:  none.
-- Output: {now, {name, '<seen> <record>', ...}, {name, last claim that brought jobs, ...}}.
-- Relies: heartbeat.lua, claim.lua.

return { now, call('HGETALL', KEY.workers), call('HGETALL', KEY.claimed) }
