-- What it does: a job's steps.
-- Input:  ARGV[1] id.
-- Output: {position, packed {name, value or false, done, at, attempt}, ...}.
-- Relies: report.lua.

return call('HGETALL', steps_key(ARGV[1]))
