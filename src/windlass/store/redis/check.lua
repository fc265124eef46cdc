-- What it does: for tests and doctor: compares sums, sets and keys with the records, and names every difference.
-- Input:  none.
-- Output: a list of texts, empty when all is well.
-- Relies: prelude.lua; walks the whole namespace in one script, so not for a store of millions.

local sums, members, blocked, expiring, flagged_now = {}, {}, {}, 0, {}

local function keys_like(pattern)
  local cursor, out = '0', {}
  repeat
    local reply = call('SCAN', cursor, 'MATCH', (P:gsub('([%*%?%[%]\\])', '\\%1')) .. pattern, 'COUNT', 1000)
    cursor = reply[1]
    for i = 1, #reply[2] do out[reply[2][i]] = true end
  until cursor == '0'
  return out
end

local function check_job(job, name)
  local key = place(job.state, job)
  local at, want = call('ZSCORE', key, job.id), score(job.state, job)
  sums[job.state .. ':' .. job.queue] = (sums[job.state .. ':' .. job.queue] or 0) + 1
  members[key] = (members[key] or 0) + 1
  if not at then say('job %s is not in %s', name, key)
  elseif job.state ~= ACTIVE and (job.m or job.state ~= WAITING) and tonumber(at) ~= want then
    say('job %s stands at %s in %s, not at %s', name, at, key, text(want))
  end
  if job.state == BLOCKED then blocked[job.id] = job.waits
  elseif job.waits ~= 0 then say('job %s waits for %d parents in state %d', name, job.waits, job.state) end
  if expires_now(job, job.state, job.attempt) then
    expiring = expiring + 1
    if not call('ZSCORE', KEY.expiring, job.id) then say('job %s is not in expiring', name) end
  end
  if band(job.marks, CANCELLING) > 0 then
    flagged_now[job.id] = true
    if call('SISMEMBER', KEY.flagged, job.id) == 0 then say('job %s is not in flagged', name) end
  end
  local window = window_of(job.id)
  if not call('ZSCORE', KEY.windows, window) then say('job %s has no window', name) end
  if call('GETBIT', slots_key(window), slot_of(job.id)) == 0 then say('job %s has no slot', name) end
  if not call('HGET', KEY.queues, job.queue) then say('queue %s is not known', job.queue) end
end

local function check_segment(key)
  local all, fields = call('HGETALL', key), {}
  for i = 1, #all, 2 do fields[all[i]] = all[i + 1] end
  for field in pairs(fields) do
    local id = sub(field, 1, 16)
    if not fields[id] then say('field %s of %s has no job', sub(field, 17), uuid(id)) end
    if segment(id) ~= key then say('job %s is in segment %s', uuid(id), key) end
    if sub(field, 17) == 'l' then ledgers[id] = fields[field] end
    if #field == 16 then check_job(open_job(id, fields[id], fields[id .. 'm']), uuid(id)) end
  end
end

local all = keys_like('*')
for key in pairs(all) do
  if sub(key, 1, #P + 4) == P .. 'job:' then check_segment(key) end
end

local counts = call('HGETALL', KEY.counts)
for i = 1, #counts, 2 do
  if tonumber(counts[i + 1]) ~= sums[counts[i]] then
    say('counts say %s of %s, the records %d', counts[i + 1], counts[i], sums[counts[i]] or 0)
  end
  sums[counts[i]] = nil
end
for name, n in pairs(sums) do say('counts say 0 of %s, the records %d', name, n) end

for key in pairs(all) do
  local queue_of = rest(key, 'waiting:')
  if queue_of and call('SISMEMBER', ready_key(sub(queue_of, 1, 1)), sub(queue_of, 3)) == 0 then
    say('%s is not in its ready set', key)
  end
  local member = rest(key, 'later:')
  if member then
    local bound, head = call('ZSCORE', KEY.due, member), call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
    if not bound or tonumber(bound) > tonumber(head) then say('due has %s for %s, whose head is %s', tostring(bound), member, head) end
  end
  local park = rest(key, 'parked:')
  if park and call('SISMEMBER', KEY.parks, park) == 0 then say('%s is not in parks', key) end
  if queue_of or member or park or rest(key, 'line:') or rest(key, 'final:') or rest(key, 'blocked:') or key == KEY.leased then
    local n = call('ZCARD', key)
    if n ~= (members[key] or 0) then say('%s has %d members, the records %d', key, n, members[key] or 0) end
  end
  local lines = rest(key, 'log:')
  if lines and not jobs[lines] then say('a log of the unknown job %s', uuid(lines)) end
  local window = rest(key, 'slots:')
  if window then
    for slot = 0, 1023 do
      local job_key = P .. 'job:' .. window .. format('%03x', slot)
      if call('GETBIT', key, slot) == 1 and not all[job_key] then say('%s is listed and empty', job_key) end
    end
  end
  for _, prefix in ipairs({ 'cut:', 'doomed:', 'ahead:', 'steps:', 'signals:' }) do
    local owner = rest(key, prefix)
    if owner and not jobs[owner] then say('%s of the unknown job %s', prefix, uuid(owner)) end
    if owner and prefix == 'ahead:' and not blocked[owner] then say('ahead of %s, which is not blocked', uuid(owner)) end
  end
  local parent = rest(key, 'edges:')
  if parent then
    if not jobs[parent] then say('edges of the unknown job %s', uuid(parent)) end
    for _, child in ipairs(call('ZRANGE', key, 0, -1)) do
      if not blocked[child] then say('an edge from %s to %s, which is not blocked', uuid(parent), uuid(child))
      else blocked[child] = blocked[child] - 1 end
    end
  end
end
for id, n in pairs(blocked) do
  if n ~= 0 then say('job %s waits for %d parents more than it has edges', uuid(id), n) end
end
if call('ZCARD', KEY.expiring) ~= expiring then say('expiring has %d members, not %d', call('ZCARD', KEY.expiring), expiring) end
for _, id in ipairs(call('SMEMBERS', KEY.flagged)) do
  if not flagged_now[id] then say('job %s is in flagged', uuid(id)) end
end

check_lines(all)
check_letters(all)
check_past(all)

local unique = call('HGETALL', KEY.unique)
for i = 1, #unique, 2 do
  local mode, id, follower = parse('>B', unique[i + 1]), sub(unique[i + 1], 9, 24), sub(unique[i + 1], 25)
  if follower ~= '' and not (jobs[follower] and jobs[follower].state == BLOCKED and jobs[follower].key == unique[i]) then
    say('key %s has the follower %s, which does not wait for it', unique[i], uuid(follower))
  end
  if mode ~= 2 then
    local job = jobs[id]
    if not job then say('key %s is held by the unknown job %s', unique[i], uuid(id))
    elseif is_final(job.state) then say('key %s is held by %s, which has ended', unique[i], uuid(id))
    elseif job.key ~= unique[i] then say('key %s is held by %s, which has another', unique[i], uuid(id)) end
  end
end
return wrong
