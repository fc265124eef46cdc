-- What it does: one bounded step through the jobs that stand in one set.
-- Input:  ARGV[1] a key that listed.lua named, ARGV[2] cursor, '0' at first, ARGV[3] about how many.
-- Output: {cursor, '0' at the end; ids as one string}. What stays in the set all the while is named at least once.
-- Relies: prelude.lua.

local reply, ids = call('ZSCAN', ARGV[1], ARGV[2], 'COUNT', ARGV[3]), {}
for i = 1, #reply[2], 2 do ids[#ids + 1] = reply[2][i] end
return { reply[1], table.concat(ids) }
