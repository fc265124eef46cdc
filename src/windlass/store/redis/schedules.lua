-- What it does: reads schedules.
-- Input:  ARGV[1] instant before which they must be due, or '' for all.
-- Output: {key, {field, value, ...}, ...}.
-- Relies: put_schedules.lua.

local names
if ARGV[1] == '' then names = call('ZRANGE', KEY.schedules, 0, -1)
else names = call('ZRANGEBYSCORE', KEY.schedules, '-inf', '(' .. ARGV[1]) end
local out = {}
for i = 1, #names do
  out[2 * i - 1], out[2 * i] = names[i], call('HGETALL', schedule_key(names[i]))
end
return out
