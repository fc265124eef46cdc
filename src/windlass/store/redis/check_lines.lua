-- What it does: the part of check.lua about limits and lines: the three invariants of docs/design/limits.md.
-- Input:  the jobs of check.lua.
-- Output: `check_lines(all)`, which names every difference by `say`, in `wrong`.
-- Relies: lines.lua.

local wrong = {}
local function say(...) wrong[#wrong + 1] = format(...) end
-- The end of a key's name behind a prefix of ours, or false.
local function rest(key, prefix) return sub(key, 1, #P + #prefix) == P .. prefix and sub(key, #P + #prefix + 1) end

local function text_of(line)
  local of, words = Line.parts(line), {}
  for i = 1, #of do words[i] = tostring(of[i]) end
  return table.concat(words, '/')
end

-- A line with jobs is eligible, or waits for a key that has no room, or is awake, or has its timer ahead.
local function check_line(line, key)
  local head, waits, of = call('ZRANGE', key, 0, 0, 'WITHSCORES')[2], call('HGET', KEY.lines, line), Line.parts(line)
  if not waits then return say('line %s has jobs and is not in lines', text_of(line)) end
  if waits == '' then
    local bound = call('ZSCORE', KEY.eligible_ .. of[1] .. ':' .. of[2] .. ':' .. of[3], line)
    local spot = call('HGET', KEY.spots_ .. of[1] .. ':' .. of[2], of[3])
    if not bound or tonumber(bound) > tonumber(head) then say('line %s is eligible from %s, its head %s', text_of(line), tostring(bound), head) end
    if not spot or parse('>I7', spot) > tonumber(head) or not call('ZSCORE', KEY.turns_ .. of[1] .. ':' .. of[2], spot .. of[3]) then
      say('the group of line %s has no turn', text_of(line))
    end
    if call('SISMEMBER', KEY.lined_ .. of[1], of[2]) == 0 then say('queue %s is not in lined', of[2]) end
    return
  end
  if not call('ZSCORE', KEY.waiters_ .. waits, line) then return say('line %s does not wait for %s', text_of(line), waits) end
  local limit = Limit.get(waits)
  local opens = limit and Limit.refuses(limit, 1)
  if opens == math.huge or call('SISMEMBER', KEY.awake, waits) == 1 or call('ZSCORE', KEY.timers, waits) then return end
  say('line %s waits for %s, which has room and sleeps', text_of(line), waits)
end

-- What holds a key is what runs under it, and no more than allowed since the key was changed.
local function check_holders(all)
  local running, latest = {}, {}
  for id, job in pairs(jobs) do
    if job.state == ACTIVE and job.line ~= '' then
      local of = Line.parts(job.line)
      for i = 4, #of do
        running[of[i]] = (running[of[i]] or 0) + 1
        latest[of[i]] = max(latest[of[i]] or 0, job.started)
        if call('SISMEMBER', KEY.holders_ .. of[i], id) == 0 then say('job %s runs and does not hold %s', uuid(id), of[i]) end
      end
    end
  end
  for name in pairs(all) do
    local key = rest(name, 'holders:')
    if key and call('SCARD', name) ~= running[key] then say('%s has %d holders, %d run', key, call('SCARD', name), running[key] or 0) end
  end
  for key, n in pairs(running) do
    local limit = Limit.get(key)
    if limit and limit.most >= 0 and n > limit.most and latest[key] > limit.changed then
      say('%s is held %d times, %d are allowed', key, n, limit.most)
    end
  end
end

local function check_lines(all)
  local uses = {}
  for name in pairs(all) do
    local line, key = rest(name, 'line:'), rest(name, 'waiters:')
    if line then check_line(line, name) end
    for _, waiter in ipairs(key and call('ZRANGE', name, 0, -1) or {}) do
      if call('HGET', KEY.lines, waiter) ~= key then say('line %s waits for %s and does not know it', text_of(waiter), key) end
    end
    for _, member in ipairs(rest(name, 'eligible:') and call('ZRANGE', name, 0, -1) or {}) do
      if call('HGET', KEY.lines, member) ~= '' then say('line %s is eligible and does not know it', text_of(member)) end
    end
  end
  for _, line in ipairs(call('HKEYS', KEY.lines)) do
    local of = Line.parts(line)
    for i = 4, #of do uses[of[i]] = (uses[of[i]] or 0) + 1 end
  end
  local kept = call('HGETALL', KEY.uses)
  for i = 1, #kept, 2 do
    if uses[kept[i]] ~= tonumber(kept[i + 1]) then say('%s is in %d lines, not in %s', kept[i], uses[kept[i]] or 0, kept[i + 1]) end
    uses[kept[i]] = nil
  end
  for key in pairs(uses) do say('uses does not know %s', key) end
  for _, job in pairs(jobs) do
    if job.state == WAITING and job.park == '' and job.line == '' and #Line.bounds(job) > 1 then
      say('job %s has limits and is in the plain line', uuid(job.id))
    end
  end
  check_holders(all)
end
