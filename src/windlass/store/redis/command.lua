-- What it does: an operator's act on jobs, with its audit entry.
-- Input:  ARGV[1] ids (16 bytes each), ARGV[2] {action, sources (state numbers as a map), states asked for or false, reason
--         or false, priority, keep attempts, actor, target, detail (JSON without its end, to which the count is added), revive,
--         arguments, attempts and instant of an edit, each or false, scheduled, instant before which a retry is due or false}.
-- Output: {done ids, flagged ids, {id, why, ...}}.
-- Relies: revive.lua. What may be done in which state is given by the caller, from the table of states.

local ids = {}
for at = 1, #ARGV[1], 16 do ids[#ids + 1] = sub(ARGV[1], at, at + 15) end
local action, sources, asked, reason, priority, keep_attempts, actor, target, detail, revive, args, most, run_at, scheduled, due =
  unpack(cmsgpack.unpack(ARGV[2]), 1, 15)
local done, flagged, refused, emptied, requeued = {}, {}, {}, {}, {}
local WORDS = { {any:all} }

local function refuse(id, why) refused[#refused + 1], refused[#refused + 2] = id, why end

local acts = {}
function acts.cancel(job)
  if job.state ~= ACTIVE then
    end_job(job, CANCELLED, reason or {state:cancelled}, 'cancel')
    return true
  end
  if band(job.marks, CANCELLING) == 0 then job.marks = job.marks + CANCELLING end
  job.park, job.dirty = sub(reason or {state:cancelled}, 1, 60000), true
  call('SADD', KEY.flagged, job.id)
  wake('cancel')
  flagged[#flagged + 1] = job.id
end
function acts.fail(job)
  end_job(job, FAILED, reason or 'failed by command', 'fail-by-command')
  return true
end
acts['run-now'] = function(job)
  job.run_at = now
  to_waiting(job)
  return true
end
function acts.reprioritise(job)
  with_order(job)
  job.priority, job.dirty, job.moved = priority, true, job.state == WAITING
  job.reline = job.line ~= '' and job.state == WAITING
  job.ord = (100 - priority) * PRIORITY + job.ord % PRIORITY
  job.c = sub(job.c, 1, 7) .. char(priority + 100) .. sub(job.c, 9)
  set_field(job.id, '', job.c)
  if News then News.add('edited', job.id) end
  return true
end

-- What the producer said, said anew: arguments and attempts.
local function rewrite(job)
  if not args and not most then return end
  if most then job.c = sub(job.c, 1, 9) .. pack('>H', min(most, 65535)) .. sub(job.c, 12) end
  if args then
    local _, at = nil, job.rest
    if band(job.head_flags, WHO) > 0 then _, at = parse('>I4c0', job.c, at) end
    local tail = args
    if band(job.head_flags, RICH) > 0 then
      local payload = cmsgpack.unpack(sub(job.c, at))
      payload[1] = args
      tail = cmsgpack.pack(payload)
    end
    job.c = sub(job.c, 1, at - 1) .. tail
  end
  set_field(job.id, '', job.c)
end
function acts.edit(job)
  local timed = run_at and (job.state == DELAYED or job.state == RETRYING)
  if run_at and not timed then
    refuse(job.id, 'is ' .. WORDS[job.state])
    return
  end
  rewrite(job)
  if timed then job.run_at, job.dirty, job.moved = max(run_at, now), true, true end
  if News then News.add('edited', job.id) end
  return true
end
function acts.delete(job)
  if call('EXISTS', edges_key(job.id)) == 1 then
    refuse(job.id, 'other jobs wait for it')
    return
  end
  forget(job)
  wake('done')
  emptied[segment(job.id)] = job.id
  return true
end
function acts.requeue(job)
  local at = due and call('ZSCORE', KEY.retries, job.id)
  if due and not (at and tonumber(at) < due) then
    refuse(job.id, 'does not match') -- somebody else has revived it
    return
  end
  local holder = requeue(job, keep_attempts, scheduled)
  if holder then
    refuse(job.id, 'unique key held by ' .. uuid(holder))
    return
  end
  rewrite(job)
  requeued[#requeued + 1] = job
  return true
end

go_on_when_full()
load(ids)
for i = 1, #ids do
  local job = jobs[ids[i]]
  if not job then
    refuse(ids[i], 'not found')
  elseif not sources[job.state] and not (action == 'run-now' and is_suspended(job)) then
    refuse(job.id, 'is ' .. WORDS[job.state])
  elseif asked and not asked[job.state] then
    refuse(job.id, 'does not match') -- changed since it was found
  elseif acts[action](job) then
    done[#done + 1] = job.id
  end
end
for i = 1, #requeued do
  if revive then wait_again(requeued[i]) else call('UNLINK', cut_key(requeued[i].id)) end
end
if revive then spread_revival(requeued) end
local changed = #done + #flagged
if changed > 0 then
  write_audit(actor, action, target, detail .. format('"count":%d}', changed))
end
settle_ended()
flush()
drop_keys()
close_slots(emptied)
return { done, flagged, refused }
