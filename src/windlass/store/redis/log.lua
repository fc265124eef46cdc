-- What it does: a job's newest log lines, oldest first.
-- Input:  ARGV[1] id, ARGV[2] limit.
-- Output: packed lines {at, attempt, level, text}.
-- Relies: report.lua.

return call('LRANGE', log_key(ARGV[1]), -tonumber(ARGV[2]), -1)
