-- What it does: commits how attempts ended, if their leases still hold.
-- Input:  ARGV[1] {id, lease, target, spends, rescued, took, delay, queue, reason, park, result, error, trail} flat per
--         attempt (texts false where not given), ARGV[2] tallies {field, number, ...}, ARGV[3] follow-up batch or ''.
-- Output: {verdicts: one of `a` accepted, `r` repeat, `s` stale per attempt, parent that a follow-up names in vain or ''}.
-- Relies: ends.lua, insert.lua. Unless every item is accepted nothing is written: the caller sends the accepted ones again
--         with tallies that fit (stale items are rare, and a tally must count accepted items only).

local WIDTH, MOST_TRAIL = 13, 50
local items = cmsgpack.unpack(ARGV[1])

local function verdicts()
  local ids, out, seen, clean = {}, {}, {}, true
  for at = 1, #items, WIDTH do ids[#ids + 1] = items[at] end
  local states = fetch(ids, { 'm' })
  for i = 1, #ids do
    local id, lease, m, verdict = ids[i], items[(i - 1) * WIDTH + 2], states[i], 's'
    local job = jobs[id] or (m and open_job(id, nil, m, items[(i - 1) * WIDTH + 8]))
    if job then
      if seen[id] == lease then verdict = 'r'
      elseif job.state == ACTIVE and job.lease == lease then
        verdict = 'a'
        seen[id] = lease
      elseif job.settled == lease and lease > 0 then verdict = 'r' end
    end
    out[i] = verdict
    if verdict ~= 'a' then clean = false end
  end
  return table.concat(out), clean
end

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
    end_job(job, CANCELLED, job.park ~= '' and job.park or {state:cancelled})
    return
  end
  job.worker, job.state, job.park = '', target, ''
  if target ~= WAITING then job.run_at = now + delay end
end

local function commit(job, at)
  local target, took, delay = items[at + 2], items[at + 5], items[at + 6]
  local reason, park, result, failure, trail = unpack(items, at + 8, at + 12)
  job.settled, job.dirty, job.moved = job.lease, true, true
  if trail and target ~= COMPLETED then append_trail(job, trail) end
  if items[at + 3] then job.attempt = job.attempt + 1 end
  if items[at + 4] then job.rescues = job.rescues + 1 end
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
  end
end

local out, clean = verdicts()
if not clean then return { out, '' } end
local batch = ARGV[3] ~= '' and cmsgpack.unpack(ARGV[3])
local unknown = batch and unknown_parent(batch)
if unknown then return { out, unknown } end
for at = 1, #items, WIDTH do commit(jobs[items[at]], at) end
if batch then insert(batch) end
settle_ended()
local tallies = cmsgpack.unpack(ARGV[2])
if #tallies > 0 then
  local minute = floor(now / 60000000)
  local key = tally_key(minute)
  for i = 1, #tallies, 2 do call('HINCRBY', key, tallies[i], tallies[i + 1]) end
  call('ZADD', KEY.minutes, minute, text(minute))
end
flush()
return { out, '' }
