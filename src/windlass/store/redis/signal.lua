-- What it does: hands a signal to a job, with its audit entry: wakes it if it is suspended for it, else keeps it in its box.
-- Input:  ARGV[1] id, ARGV[2] name, ARGV[3] data, ARGV[4] actor, ARGV[5] detail (JSON), ARGV[6] most a box keeps.
-- Output: 'woken' | 'kept' | 'over' | 'unknown' | 'full': the box is full and nothing happened.
-- Relies: ends.lua; `signals:<id>` is a list of {name, data}, oldest first. The one that wakes goes into the box too.

local id, name, data, actor, detail, most = unpack(ARGV, 1, 6)
local job = get(id)
if not job then return 'unknown' end
if is_final(job.state) then return 'over' end
local awaited = is_suspended(job) and job.park == ':' .. name
if not awaited and call('LLEN', signals_key(id)) >= tonumber(most) then return 'full' end
call('RPUSH', signals_key(id), cmsgpack.pack({ name, data }))
if awaited then
  job.run_at = now
  to_waiting(job)
end
write_audit(actor, 'signal', uuid(id), detail)
flush()
return awaited and 'woken' or 'kept'
