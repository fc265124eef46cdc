-- What it does: keeps a worker's record fresh and extends the leases it names.
-- Input:  ARGV[1] {worker, record text, lease, leaving, session, {id, lease, ...}}.
-- Output: {positions of lost leases from 1, ids of flagged jobs, instruction or '', schema}.
-- Relies: prelude.lua; the expiry stands only in the `active` set, so a beat rewrites no record.

go_on_when_full()
local beat = cmsgpack.unpack(ARGV[1])
local worker, record, lease_for, leaving, session, held = unpack(beat, 1, 6)
local ids, lost, cancelled, extend = {}, {}, {}, {}
for at = 1, #held, 2 do ids[#ids + 1] = held[at] end
local states = fetch(ids, 'm')
for i = 1, #ids do
  local state, lease, _
  if states[i] then state, _, _, lease = parse('>BBBI7', states[i]) end
  if state == ACTIVE and lease == held[2 * i] then
    extend[#extend + 1], extend[#extend + 2] = now + lease_for, ids[i]
  else
    lost[#lost + 1] = i
  end
end
-- Every flagged job of this worker, also those too young to be named.
local flagged = call('SMEMBERS', KEY.flagged)
load(flagged)
for i = 1, #flagged do
  local job = jobs[flagged[i]]
  if not job then call('SREM', KEY.flagged, flagged[i])
  elseif job.worker == worker then cancelled[#cancelled + 1] = job.id end
end
if #extend > 0 then spread('ZADD', KEY.leased, extend, 2) end
if leaving then
  call('HDEL', KEY.workers, worker)
  call('HDEL', KEY.claimed, worker)
  call('HDEL', KEY.sessions, session)
else
  call('HSET', KEY.workers, worker, text(now) .. ' ' .. record)
end
local told = call('HGET', space_key('{orders}'), worker)
local _, till = parse('>I6I7', told or '\0\0\0\0\0\0\0\0\0\0\0\0\0')
return { lost, cancelled, told and (till == 0 or till > now) and sub(told, 14) or '', call('GET', KEY.schema) or '' }
