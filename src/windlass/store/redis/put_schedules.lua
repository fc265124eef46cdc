-- What it does: creates or replaces schedules; what has fired already is kept.
-- Input:  ARGV[1] {{key, spec, owner or false, due or false, paused, last due or false, last job or false, fired}, ...},
--         ARGV[2] actor.
-- Output: 1.
-- Relies: prelude.lua; `schedules` holds every key, scored by its due time, +inf while paused or without one.

for _, row in ipairs(cmsgpack.unpack(ARGV[1])) do
  local name, spec, owner, due, paused, last_due, last_job, fired = unpack(row, 1, 8)
  local key = schedule_key(name)
  if call('EXISTS', key) == 0 then
    call('HSET', key, 'fired', fired)
    if last_due then call('HSET', key, 'last_due', text(last_due)) end
    if last_job then call('HSET', key, 'last_job', last_job) end
  end
  call('HSET', key, 'spec', spec, 'paused', paused and 1 or 0)
  if owner then call('HSET', key, 'owner', owner) else call('HDEL', key, 'owner') end
  if due then call('HSET', key, 'due', text(due)) else call('HDEL', key, 'due') end
  call('ZADD', KEY.schedules, due and not paused and due or '+inf', name)
  if News then News.add('schedule', name) end
  write_audit(ARGV[2], 'put-schedule', 'schedule:' .. name, '{}')
end
tell()
return 1
