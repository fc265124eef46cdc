-- What it does: the tallies of the minutes between two instants, at most 60 minutes a call.
-- Input:  ARGV[1] first minute, ARGV[2] minute after the last.
-- Output: {next minute or -1, {minute, {field, value, ...}, ...}}.
-- Relies: prelude.lua; what is in the spool is added up first.

add_up()
local out = {}
local minutes = call('ZRANGEBYSCORE', KEY.minutes, ARGV[1], '(' .. ARGV[2], 'LIMIT', 0, 61)
for i = 1, min(#minutes, 60) do
  out[#out + 1], out[#out + 2] = tonumber(minutes[i]), call('HGETALL', tally_key(tonumber(minutes[i])))
end
return { minutes[61] and tonumber(minutes[61]) or -1, out }
