-- What it does: reads what remains of a job that retention deleted.
-- Input:  ARGV[1] id.
-- Output: its record, see remember.lua, or nothing if there is none or a job of this id lives.
-- Relies: remember.lua.

return call('HEXISTS', segment(ARGV[1]), ARGV[1]) == 0 and call('HGET', past_key(ARGV[1]), ARGV[1])
