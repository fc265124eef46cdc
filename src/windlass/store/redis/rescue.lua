-- What it does: takes over lapsed leases for a worker that will judge them.
-- Input:  ARGV[1] worker, ARGV[2] lease in microseconds, ARGV[3] limit.
-- Output: {lease, now, {id, record, state before, order, ...}}.
-- Relies: prelude.lua. `mark` is "<last rescue> <quiet until>": after a gap longer than half a lease nothing lapses for one.

go_on_when_full()
local worker, lease_for, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last, quiet = (call('GET', KEY.mark) or ''):match('^(%d+) (%d+)$')
last, quiet = tonumber(last), tonumber(quiet) or 0
if last and now - last > lease_for / 2 or not last and call('EXISTS', KEY.leased) == 1 then quiet = now + lease_for end
if quiet > now + lease_for then quiet = now + lease_for end -- the clock was stepped back
call('SET', KEY.mark, text(now) .. ' ' .. text(quiet))

local ahead = call('ZRANGEBYSCORE', KEY.leased, '(' .. text(now + 2 * lease_for), '+inf', 'LIMIT', 0, 1000)
for i = 1, #ahead do call('ZADD', KEY.leased, now + lease_for, ahead[i]) end
if quiet > now then return { 0, now, {} } end

local ids = call('ZRANGEBYSCORE', KEY.leased, '-inf', now, 'LIMIT', 0, limit)
if #ids == 0 then return { 0, now, {} } end
load(ids)
local token, rows = new_lease(), {}
for i = 1, #ids do
  local job = jobs[ids[i]]
  if job and job.state == ACTIVE then
    if News then News.add(ACTIVE, job.id) end
    job.lease, job.worker, job.until_at, job.dirty, job.moved = token, worker, now + lease_for, true, true
    local n = #rows
    rows[n + 1], rows[n + 2], rows[n + 3], rows[n + 4] = job.id, job.c, job.m, job.ord
  else
    call('ZREM', KEY.leased, ids[i]) -- its record was lost: nothing to rescue
  end
end
flush()
return { token, now, rows }
