-- What it does: jobs per queue and state.
-- Input:  none.
-- Output: {'<state>:<queue>', number, ...}.
-- Relies: prelude.lua; the sums are changed by the same scripts that move jobs.

return call('HGETALL', KEY.counts)
