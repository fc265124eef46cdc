-- What it does: lines of waiting jobs: which one a job is in, which lines may be looked at, whose turn it is.
-- Input:  jobs of the unit of work (prelude.lua), keys (limit.lua).
-- Output: `Line.*`, which `note` and `flush` call.
-- Relies: a line's name is packed {runtime, queue, group, key, ...}. `lines` has each line that was given jobs: '' when it is
--         eligible, else the key it waits for. Scores of lines and groups are lower bounds, which claims correct.

local CLASSES = { { 10, 'critical', 20 }, { 5, 'high', 10 }, { 0, 'normal', 5 }, { -math.huge, 'low', 1 } }
local NOBODY, SHARE, SPOT = '-', '>dB', '>I7'
local WEIGHTS = {}
for c = 1, #CLASSES do WEIGHTS['w' .. CLASSES[c][2]] = CLASSES[c][3] end

function Line.forget_scopes() scopes = nil end

function Line.bounds(job)
  if not job.bound then job.bound = job.bounds and cmsgpack.unpack(job.bounds) or { 1 } end
  return job.bound
end

-- Groups begin with the letter of their order, so that one queue's groups of two orders are not taken for each other.
local function group_of(job, order)
  if order == 's' then return NOBODY end
  if order == 'a' then return 'a' .. job.priority end
  if order == 'w' then
    for c = 1, #CLASSES do
      if job.priority >= CLASSES[c][1] then return 'w' .. CLASSES[c][2] end
    end
  end
  if band(job.head_flags, WHO) == 0 then return NOBODY end
  local who = cmsgpack.unpack((parse('>I4c0', job.c, job.rest)))
  local group = who[3] or who[1]
  return group and 'f' .. group or NOBODY
end

-- The keys that a job is under; missing ones are made from its bounds (`look`: not so).
function Line.keys_of(job, look)
  local keys, seen, bounds, global = {}, {}, Line.bounds(job), global_keys()
  local function add(key)
    if not seen[key] then seen[key], keys[#keys + 1] = true, key end
  end
  for i = 2, #bounds, 6 do
    add(bounds[i])
    if not look then Limit.define(bounds[i], bounds[i + 2], bounds[i + 3], bounds[i + 4], bounds[i + 5], false) end
  end
  if global and global['queue:' .. job.queue] then add('queue:' .. job.queue) end
  if global and global['kind:' .. job.kind] then add('kind:' .. job.kind) end
  table.sort(keys)
  return keys
end

-- The line of a job under these keys, in the group that its queue's order puts it into.
function Line.of(job)
  local keys, group = Line.keys_of(job), group_of(job, queue_settings(job.queue).order)
  if #keys == 0 and group == NOBODY then return '' end
  return cmsgpack.pack({ job.runtime, job.queue, group, unpack(keys) })
end

local parts = {}
function Line.parts(line)
  local found = parts[line]
  if not found then
    found = cmsgpack.unpack(line)
    parts[line] = found
  end
  return found
end

function Line.has_rate(line)
  local of = Line.parts(line)
  for i = 4, #of do
    if Limit.get(of[i]) and Limit.get(of[i]).n >= 0 then return true end
  end
end

-- What runs under a key, gathered for one command a key.
local freed, taken = {}, {}
function Line.let_go(job)
  local of = Line.parts(job.line_was)
  for i = 4, #of do put(freed, of[i], job.id) end
end
function Line.hold(job)
  local of = Line.parts(job.line)
  for i = 4, #of do put(taken, of[i], job.id) end
end

-- Virtual times of a queue's groups: pass and weight; `=` is that of the group served last.
local shares, changed = {}, {}
function Line.share(queue, group)
  local of = list_of(shares, queue)
  local share = of[group]
  if not share then
    local packed = call('HGET', KEY.passes_ .. queue, group)
    share = { pass = 0, weight = WEIGHTS[group] or 1 }
    if packed then share.pass, share.weight = parse(SHARE, packed) end
    of[group] = share
  end
  return share
end
function Line.keep_share(queue, group) list_of(changed, queue)[group] = Line.share(queue, group) end
-- The newest job says what its group's share of a fair queue is.
function Line.weigh(job)
  if queue_settings(job.queue).order ~= 'f' then return end
  local group = group_of(job, 'f')
  if group == NOBODY then return end
  local share, weight = Line.share(job.queue, group), Line.bounds(job)[1]
  if share.weight ~= weight then
    share.weight = weight
    Line.keep_share(job.queue, group)
  end
end
-- It was this group's turn.
function Line.serve(queue, group)
  local share, clock = Line.share(queue, group), Line.share(queue, '=')
  clock.pass = max(clock.pass, share.pass)
  share.pass = share.pass + 1 / share.weight
  Line.keep_share(queue, group)
  Line.keep_share(queue, '=')
end

-- A group's place among the groups of its queue that have eligible lines: by score, then by the order of its next job. `spot`:
-- the order that it stands with, packed, or false.
function Line.set_turn(runtime, queue, group, score, ord, spot)
  local wanted = pack(SPOT, ord)
  if spot and spot ~= wanted then call('ZREM', KEY.turns_ .. runtime .. ':' .. queue, spot .. group) end
  call('ZADD', KEY.turns_ .. runtime .. ':' .. queue, score, wanted .. group)
  if spot ~= wanted then call('HSET', KEY.spots_ .. runtime .. ':' .. queue, group, wanted) end
end
function Line.drop_turn(runtime, queue, group, spot)
  call('ZREM', KEY.turns_ .. runtime .. ':' .. queue, spot .. group)
  call('HDEL', KEY.spots_ .. runtime .. ':' .. queue, group)
end
-- Puts a group among those whose turn may come, or forward. A group that becomes non-empty (`fresh`) has saved nothing up.
function Line.offer(runtime, queue, group, ord, fresh)
  local spot = call('HGET', KEY.spots_ .. runtime .. ':' .. queue, group)
  if spot and parse(SPOT, spot) <= ord then return end
  local order, score = queue_settings(queue).order, ord
  if order == 'a' then score = 0
  elseif order ~= 's' then
    local share = Line.share(queue, group)
    if fresh and not spot and share.pass < Line.share(queue, '=').pass then
      share.pass = Line.share(queue, '=').pass
      Line.keep_share(queue, group)
    end
    score = share.pass
  end
  Line.set_turn(runtime, queue, group, score, ord, spot)
end

-- A line whose head may be as early as `ord` is looked at by claims.
function Line.open(line, ord, fresh)
  local of = Line.parts(line)
  local runtime, queue, group = of[1], of[2], of[3]
  call('ZADD', KEY.eligible_ .. runtime .. ':' .. queue .. ':' .. group, 'LT', ord, line)
  Line.offer(runtime, queue, group, ord, fresh)
  call('SADD', KEY.lined_ .. runtime, queue)
  call('SADD', ready_key(runtime), queue)
end

-- Jobs were put into a line, the first of them at `ord`.
function Line.admit(line, ord)
  local waits = call('HGET', KEY.lines, line)
  if not waits then
    call('HSET', KEY.lines, line, '')
    local of = Line.parts(line)
    for i = 4, #of do call('HINCRBY', KEY.uses, of[i], 1) end
  end
  if waits and waits ~= '' then
    if queue_settings(Line.parts(line)[2]).order == 's' then call('ZADD', KEY.waiters_ .. waits, 'LT', ord, line) end
    return
  end
  Line.open(line, ord, not waits)
  wake('ready')
end

-- A line that has no jobs left.
function Line.drop(line)
  local of = Line.parts(line)
  local waits = call('HGET', KEY.lines, line)
  if not waits then return end
  if waits ~= '' then call('ZREM', KEY.waiters_ .. waits, line) end
  call('ZREM', KEY.eligible_ .. of[1] .. ':' .. of[2] .. ':' .. of[3], line)
  call('HDEL', KEY.lines, line)
  for i = 4, #of do
    if call('HINCRBY', KEY.uses, of[i], -1) <= 0 then call('HDEL', KEY.uses, of[i]) end
  end
end

-- A line whose head met a key without room. `at`: when the key opens, math.huge when a holder has to leave.
function Line.close(line, key, score, at)
  local of = Line.parts(line)
  call('ZREM', KEY.eligible_ .. of[1] .. ':' .. of[2] .. ':' .. of[3], line)
  call('ZADD', KEY.waiters_ .. key, score, line)
  call('HSET', KEY.lines, line, key)
  if at < math.huge then call('ZADD', KEY.timers, 'LT', at, key) end
end

function Line.flush()
  for key, ids in pairs(freed) do
    spread('SREM', KEY.holders_ .. key, ids)
    Limit.stir(key)
  end
  for key, ids in pairs(taken) do spread('SADD', KEY.holders_ .. key, ids) end
  for queue, of in pairs(changed) do
    for group, share in pairs(of) do call('HSET', KEY.passes_ .. queue, group, pack(SHARE, share.pass, share.weight)) end
  end
end
