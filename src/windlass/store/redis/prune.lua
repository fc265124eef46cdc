-- What it does: deletes what retention no longer keeps, and what nobody will miss: old tallies, audit, lapsed records.
-- Input:  ARGV[1] {rules of most queues, {queue = rules}}, rules being {{state, age or false, keep or false}, ...}, ARGV[2] limit,
--         ARGV[3] metrics age or '', ARGV[4] audit age or '', ARGV[5] {age or false of what remains of deleted jobs, how many of them
--         are kept or false, how many may be dropped}.
-- Output: {how many jobs were deleted, 1 when there is more of what remained to drop}.
-- Relies: ends.lua, remember.lua; a job that others wait for is passed over. UNLINK frees memory outside the command.

local STAGE_LIFE, WORKER_LIFE, BATCH = 600000000, 86400000000, 500
local left, emptied, gone = tonumber(ARGV[2]), {}, 0
local past_age, past_keep, past_most = unpack(cmsgpack.unpack(ARGV[5]))
local remembers = past_age ~= 0 and past_keep ~= 0

local function chosen(ids)
  local keys = {}
  for i = 1, #ids do keys[i] = edges_key(ids[i]) end
  if #ids == 0 or spread('EXISTS', keys[1], keys) == 0 then return ids end
  local free = {}
  for i = 1, #ids do
    if call('EXISTS', keys[i]) == 0 then free[#free + 1] = ids[i] end
  end
  return free
end

-- Whether a count spares a job: a member of a workflow that ended lately, whose result others may still read.
local function is_spared(job)
  if job.finished <= now - {spared} or band(whole(job).head_flags, WHO) == 0 then return false end
  local at = job.rest + 4
  return cmsgpack.unpack(sub(job.c, at, at - 1 + parse('>I4', job.c, job.rest)))[4] ~= nil
end

-- Deletes from the old end of one queue's final set. Jobs that stay are stepped over, at most 1,000 a call.
local function drop(key, upto_rank, upto_time)
  local from = 0
  while left > 0 and from < 1000 do
    local want = min(left, BATCH)
    if upto_rank then want = min(want, upto_rank - from) end
    if want <= 0 then return end
    local ids = upto_rank and call('ZRANGE', key, from, from + want - 1)
      or call('ZRANGEBYSCORE', key, '-inf', text(upto_time), 'LIMIT', from, want)
    if #ids == 0 then return end
    local free = chosen(ids)
    load(free)
    local going = {}
    for i = 1, #free do
      local job = jobs[free[i]]
      if job and not job.gone and not (upto_rank and is_spared(job)) then
        going[#going + 1] = job
      elseif not job then
        call('ZREM', key, free[i]) -- its record was lost (eviction)
      end
    end
    if remembers then remember(going) end
    for i = 1, #going do
      forget(going[i])
      going[i].quiet = true
      emptied[segment(going[i].id)] = going[i].id
    end
    left, gone = left - #going, gone + #going
    from = from + #ids -- nothing leaves the set before `flush`
  end
end

go_on_when_full()
local queues = call('HKEYS', KEY.queues)
local most_rules, own_rules = unpack(cmsgpack.unpack(ARGV[1]), 1, 2)
for q = 1, #queues do
  for _, rule in ipairs(own_rules[queues[q]] or most_rules) do
    local state, age, keep_n = rule[1], rule[2], rule[3]
    local key = final_key(state, queues[q])
    if age then drop(key, nil, now - age) end
    if keep_n and left > 0 then
      local surplus = call('ZCARD', key) - keep_n
      if surplus > 0 then drop(key, surplus) end
    end
  end
end

flush()
drop_keys()
close_slots(emptied)

if News then
  News.trim()
elseif till and till ~= '' then
  put_clock(held, '')
  call('UNLINK', KEY.news)
end
add_up()
if ARGV[3] ~= '' then
  local oldest = floor((now - tonumber(ARGV[3])) / 60000000)
  local minutes = call('ZRANGEBYSCORE', KEY.minutes, '-inf', '(' .. text(oldest), 'LIMIT', 0, BATCH)
  for i = 1, #minutes do
    call('UNLINK', tally_key(tonumber(minutes[i])))
    call('ZREM', KEY.minutes, minutes[i])
  end
end
if ARGV[4] ~= '' then
  for _ = 1, BATCH do
    local entry = call('LINDEX', KEY.audit, -1)
    if not entry or cmsgpack.unpack(entry)[1] >= now - tonumber(ARGV[4]) then break end
    call('RPOP', KEY.audit)
  end
end
for _, member in ipairs(call('ZRANGEBYSCORE', KEY.lapsing, '-inf', now, 'LIMIT', 0, BATCH)) do
  local record = cmsgpack.unpack(member)
  call('HDEL', space_key(record[1]), record[2])
  call('ZREM', KEY.lapsing, member)
end
for _, key in ipairs(call('ZRANGEBYSCORE', KEY.periods, '-inf', now, 'LIMIT', 0, BATCH)) do
  local packed = call('HGET', KEY.unique, key)
  if packed then
    local mode, till = parse('>BI7', packed)
    if mode == PERIOD_MODE and till <= now then call('HDEL', KEY.unique, key) end
  end
  call('ZREM', KEY.periods, key)
end
for _, tx in ipairs(call('ZRANGEBYSCORE', KEY.stages, '-inf', server_time() - STAGE_LIFE, 'LIMIT', 0, 10)) do
  call('UNLINK', stage_key(tx))
  call('ZREM', KEY.stages, tx)
end
local workers = call('HGETALL', KEY.workers)
for i = 1, #workers, 2 do
  if tonumber(workers[i + 1]:match('^%d+')) < now - WORKER_LIFE then
    call('HDEL', KEY.workers, workers[i])
    call('HDEL', KEY.claimed, workers[i])
  end
end
local sessions = call('HRANDFIELD', KEY.sessions, 10) -- those of dead workers go bit by bit
for i = 1, #sessions do
  local _, _, at = parse('>I6I7I7', call('HGET', KEY.sessions, sessions[i]))
  if at < now - WORKER_LIFE then call('HDEL', KEY.sessions, sessions[i]) end
end

-- Limits and lines that nothing uses go bit by bit too.
local UNUSED, SAMPLE = 86400000000, 100
local function is_full(limit) return limit.burst >= 0 and limit.tokens >= limit.burst * limit.window end
local function tidy_log(limit, home)
  Limit.refresh(limit)
  if limit.gone > 0 then
    call('LTRIM', limit.log, limit.gone, -1)
    call('HSET', home, limit.key, Limit.pack(limit))
  end
  return limit.n < 0 or limit.burst < 0 and limit.used == 0 or is_full(limit)
end
for _, line in ipairs(call('HRANDFIELD', KEY.lines, SAMPLE)) do
  if call('EXISTS', KEY.line_ .. line) == 0 then Line.drop(line) end
end
for _, key in ipairs(call('HRANDFIELD', KEY.limits, SAMPLE)) do
  local limit = Limit.get(key)
  local rests = tidy_log(limit, KEY.limits) and not limit.pinned and limit.changed <= now - UNUSED and limit.shut <= now
  if rests and call('HEXISTS', KEY.uses, key) == 0 and call('EXISTS', KEY.holders_ .. key, KEY.waiters_ .. key) == 0 then
    Limit.drop(key)
  end
end
for _, key in ipairs(call('HRANDFIELD', KEY.takes, SAMPLE)) do
  local row = Limit.unpack(key, call('HGET', KEY.takes, key), KEY.took_ .. key, 0)
  if tidy_log(row, KEY.takes) then
    call('HDEL', KEY.takes, key)
    call('UNLINK', row.log)
  end
end

-- A group that the queue's virtual time has passed would begin there anyway.
local function tidy_shares(queue)
  local clock, waits = Line.share(queue, '=').pass, {}
  for _, line in ipairs(call('HKEYS', KEY.lines)) do
    local of = Line.parts(line)
    if of[2] == queue then waits[of[3]] = true end
  end
  for _, group in ipairs(call('HRANDFIELD', KEY.passes_ .. queue, SAMPLE)) do
    if group ~= '=' and not waits[group] and Line.share(queue, group).pass <= clock then call('HDEL', KEY.passes_ .. queue, group) end
  end
end
if call('HLEN', KEY.lines) < 10000 then
  for q = 1, #queues do
    if call('HLEN', KEY.passes_ .. queues[q]) > 1 then tidy_shares(queues[q]) end
  end
end
local more = forget_past(past_most, past_age, past_keep)
tell()
return { gone, more and 1 or 0 }
