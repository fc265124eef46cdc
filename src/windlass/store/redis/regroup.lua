-- What it does: a migration: dead letters that failed before there were groups come into theirs, and acts get numbers.
-- Input:  none.
-- Output: how many dead letters were looked at; 0 when all are done.
-- Relies: walks.lua.

call('SETNX', KEY.acts, call('LLEN', KEY.audit))
walk('group', FAILED, 0, group)
flush()
return BATCH - looks
