-- What it does: takes from ended jobs what retention does not keep as long as them: log lines, steps and kept signals, results, the next
--              retry by itself; and puts dead letters that stand in no group into theirs.
-- Input:  ARGV[1] limit, ARGV[2] {age of logs, of results, of automatic retry}, each or false.
-- Output: how many jobs were touched; the limit when there may be more to look at.
-- Relies: walks.lua.

go_on_when_full()
local limit, ages, seen = tonumber(ARGV[1]), cmsgpack.unpack(ARGV[2]), {}
left, looks = limit, 10 * limit

local function is_new(id)
  local new = not seen[id]
  seen[id] = true
  return new and 1 or 0
end

local function drop_logs(ids)
  local keys, n = {}, 0
  for i = 1, #ids do keys[3 * i - 2], keys[3 * i - 1], keys[3 * i] = log_key(ids[i]), steps_key(ids[i]), signals_key(ids[i]) end
  if spread('EXISTS', keys[1], keys) == 0 then return 0 end
  for i = 1, #ids do
    if call('UNLINK', keys[3 * i - 2], keys[3 * i - 1], keys[3 * i]) > 0 then n = n + is_new(ids[i]) end
  end
  return n
end

local function drop_results(ids)
  local n = 0
  for i = 1, #ids do
    if call('HDEL', segment(ids[i]), ids[i] .. 'r') == 1 then n = n + is_new(ids[i]) end
  end
  return n
end

local function archive(ids)
  local planned, n = {}, 0
  for i = 1, #ids do
    if call('ZSCORE', KEY.retries, ids[i]) then planned[#planned + 1] = ids[i] end
  end
  load(planned)
  for i = 1, #planned do
    local job = jobs[planned[i]]
    if job then
      job.books, job.dirty = { retry = 0 }, true
      n = n + is_new(job.id)
    end
  end
  return n
end

-- A Windlass that knows no groups leaves in them what it brings back or deletes. Where the groups have more members than there are
-- dead letters, some are looked at; how many were left.
local function sweep_groups()
  if call('ZCARD', KEY.fingerprints) > 1000 then return 0 end
  local members, letters, n = 0, 0, 0
  local sizes, sums = call('ZRANGE', KEY.fingerprints, 0, -1, 'WITHSCORES'), call('HGETALL', KEY.counts)
  for i = 2, #sizes, 2 do members = members + sizes[i] end
  for i = 1, #sums, 2 do
    if tonumber(sums[i]:match('^%d+')) == FAILED then letters = letters + sums[i + 1] end
  end
  if members <= letters then return 0 end
  for _, print in ipairs(call('ZRANDMEMBER', KEY.fingerprints, 10)) do
    local key = failures_key(print)
    local ids, gone = call('ZRANDMEMBER', key, 100), {}
    load(ids)
    for i = 1, #ids do
      if not jobs[ids[i]] or jobs[ids[i]].state ~= FAILED then gone[#gone + 1] = ids[i] end
    end
    if #gone > 0 then
      call('ZREM', key, unpack(gone))
      call('ZREM', KEY.retries, unpack(gone))
      local size = call('ZCARD', key)
      if size > 0 then call('ZADD', KEY.fingerprints, size, print) else call('ZREM', KEY.fingerprints, print) end
      n = n + #gone
    end
  end
  return n
end

for _, state in ipairs({ COMPLETED, FAILED, CANCELLED }) do
  if ages[1] then walk('logs', state, ages[1], drop_logs) end
end
if ages[2] then walk('results', COMPLETED, ages[2], drop_results) end
if ages[3] then walk('archive', FAILED, ages[3], archive) end
walk('group', FAILED, 0, group)
flush()
local strays = sweep_groups()
return looks > 0 and strays == 0 and limit - left or limit
