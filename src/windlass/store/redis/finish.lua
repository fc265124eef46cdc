-- What it does: commits how attempts ended, if their leases still hold.
-- Input:  ARGV[1] completions {id, lease, took, queue, result}, ARGV[2] other ends {id, lease, target, spends, rescued, took,
--         delay, queue, reason, park, result, error, trail, signal, spent, fingerprint, ladder}, both flat, texts false where not
--         given (of the fingerprint: when no error replaces the job's); ARGV[3] tallies
--         {{queue, kind, name, {bucket = number}}, ...}, ARGV[4] follow-up batch or '', ARGV[5] see complete.lua.
-- Output: {a letter per item, completions first: `a` accepted, `r` repeat, `s` stale; parent a follow-up names in vain or '';
--         1 when jobs waited for the ended ones, 2 when edges are left over}.
-- Relies: complete.lua, insert.lua. Unless every item is accepted nothing is written: the caller sends the accepted ones again
--         with tallies that fit (stale items are rare, and a tally must count accepted items only).

local WIDE, MOST_TRAIL = 17, 50
local completions, others = cmsgpack.unpack(ARGV[1]), cmsgpack.unpack(ARGV[2])

local function append_trail(job, entry)
  local line = format('%d %.0f ', job.attempt + 1, now) .. entry
  local trail = call('HGET', segment(job.id), job.id .. 't')
  if trail then
    line = trail .. '\n' .. line
    local _, breaks = line:gsub('\n', '\n')
    for _ = MOST_TRAIL, breaks do line = sub(line, line:find('\n', 1, true) + 1) end
  end
  set_field(job.id, 't', line)
end

local function wait_again(job, target, delay)
  if band(job.marks, CANCELLING) > 0 then
    end_job(job, CANCELLED, job.park ~= '' and job.park or {state:cancelled}, 'cancel')
    return
  end
  job.worker, job.state, job.park = '', target, ''
  if target ~= WAITING then job.run_at = now + delay end
end

-- A job that suspends waits for a signal, for a time, or for both; a signal that was there first makes it go on at once.
local function suspend(job, delay, reason, signal)
  if band(job.flags, EXPIRES) > 0 then job.flags, job.expires = job.flags - EXPIRES, nil end -- it has started
  job.run_at = delay > 0 and now + delay or END_OF_TIME
  local kept = signal and call('LRANGE', signals_key(job.id), 0, -1) or {}
  for i = 1, #kept do
    if cmsgpack.unpack(kept[i])[1] == signal then
      job.run_at, job.state = now, WAITING
      return to_waiting(job)
    end
  end
  job.park, job.reason = ':' .. (signal or ''), signal and 'waits for ' .. signal or reason or ''
end

local function commit(job, target, spends, rescued, took, delay, reason, park, result, failure, trail, signal, spent, print, ladder)
  job.settled, job.dirty, job.moved = job.lease, true, true
  if spent > 0 or print or ladder then job.books = { spent = spent, print = print, ladder = ladder } end
  if trail and target ~= COMPLETED then append_trail(job, trail) end
  if spends then job.attempt = job.attempt + 1 end
  if rescued then job.rescues = job.rescues + 1 end
  if failure then set_field(job.id, 'e', failure) end
  if target == COMPLETED then
    job.started = now - took
    if result then set_field(job.id, 'r', result) end
    end_job(job, COMPLETED, '')
  elseif is_final(target) then
    end_job(job, target, reason or '')
  else
    wait_again(job, target, delay)
    if target == WAITING and job.state == WAITING then job.park = park or '' end
    if job.state == BLOCKED then suspend(job, delay, reason, signal) end
  end
end

local states, ids = judge_all(completions, NARROW)
local wide = judge_all(others, WIDE)
if not clean then return { table.concat(letters), '', 0 } end
local batch = ARGV[4] ~= '' and cmsgpack.unpack(ARGV[4])
local unknown = batch and unknown_parent(batch)
if unknown then return { table.concat(letters), unknown, 0 } end
go_on_when_full()
local ledgers = costs and fetch(ids, 'l') or {}
for i = 1, #states do
  local at = i * NARROW - NARROW
  local took, queue, result, cost = completions[at + 3], completions[at + 4], completions[at + 5], costs and costs[i] or 0
  if complete(ids[i], states[i], took, queue, result, ledgers[i], cost) then
    ended[#ended + 1] = { id = ids[i], state = COMPLETED, queue = queue }
  else
    commit(open_job(ids[i], nil, states[i], queue), COMPLETED, true, false, took, 0, false, false, result, false, false, false, cost, false, false)
  end
end
count_completed()
for i = 1, #wide do
  local at = i * WIDE - WIDE
  commit(open_job(others[at + 1], nil, wide[i], others[at + 8]), others[at + 3], others[at + 4], others[at + 5],
    others[at + 6], others[at + 7], unpack(others, at + 9, at + 17))
end
if batch then insert(batch) end
settle_ended()
spool_tallies(ARGV[3])
flush()
return { table.concat(letters), '', topics.left and 2 or met_children and 1 or 0 }
