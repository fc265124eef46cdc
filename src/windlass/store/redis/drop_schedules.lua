-- What it does: removes schedules.
-- Input:  ARGV[1] {key, ...}, ARGV[2] actor.
-- Output: how many there were.
-- Relies: prelude.lua.

local gone = 0
for _, name in ipairs(cmsgpack.unpack(ARGV[1])) do
  if call('ZREM', KEY.schedules, name) == 1 then
    call('UNLINK', schedule_key(name))
    write_audit(ARGV[2], 'drop-schedule', 'schedule:' .. name, '{}')
    if News then News.add('schedule', name) end
    gone = gone + 1
  end
end
tell()
return gone
