-- What it does: one step of dropping everything of the namespace.
-- Input:  ARGV[1] cursor, '0' to begin.
-- Output: the cursor to go on with, '0' when everything was seen.
-- Relies: prelude.lua. UNLINK frees memory outside the command.

local reply = call('SCAN', ARGV[1], 'MATCH', (P:gsub('([%*%?%[%]\\])', '\\%1')) .. '*', 'COUNT', 1000)
if #reply[2] > 0 then spread('UNLINK', reply[2][1], reply[2]) end
return reply[1]
