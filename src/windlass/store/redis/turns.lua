-- What it does: the general way of claiming, for queues that have lines: whose turn is next, and whether its keys have room.
-- Input:  lease.lua, lines and keys.
-- Output: `Turns.wake()`, how many lines were woken; `Turns.lined(runtime, names)`; `Turns.take(runtime, names, lined, want,
--         idle, tidies)`, how many jobs were leased; `Turns.first_timer()`, when the first key opens; `Turns.bounded`, whether there may be more to do;
--         `Turns.turned`, whether turns and not places decided the order of what was leased.
-- Relies: jobs leave their lines when the script flushes, so a line is read by a pager that has its place. A claim makes at
--         most 64 lines wait and wakes at most 64.

local MOST_MOVED, MOST_FIXED, MOST_LOOKS = 64, 32, 2000
local woken, closed, looks = 0, 0, 0
local timed = {} -- keys that a line waits for until a time
local pagers, aside = {}, {}

-- Keys whose time has come are awake.
local function fire_timers()
  for _, key in ipairs(call('ZRANGEBYSCORE', KEY.timers, '-inf', now, 'LIMIT', 0, MOST_MOVED)) do
    call('SADD', KEY.awake, key)
    call('ZREM', KEY.timers, key)
  end
end

-- The most urgent lines that wait for a key, at most `most`, with their heads. They stand by lower bounds (a head may have been
-- cancelled, a group may have been served by another line), which are corrected first, as far as a claim may go.
local function most_urgent(key, most)
  local home, lines, heads, fixed = KEY.waiters_ .. key, nil, nil, 0
  repeat
    local page, again = call('ZRANGE', home, 0, most - 1, 'WITHSCORES'), false
    lines, heads = {}, {}
    for i = 1, #page, 2 do
      local line, of = page[i], Line.parts(page[i])
      local order, head = queue_settings(of[2]).order, call('ZRANGE', KEY.line_ .. line, 0, 0, 'WITHSCORES')
      local score = order == 's' and tonumber(head[2]) or order ~= 'a' and Line.share(of[2], of[3]).pass
      if not head[1] then
        Line.drop(line)
        again, fixed = true, fixed + 1
      elseif score and score > tonumber(page[i + 1]) and fixed < MOST_FIXED then
        call('ZADD', home, score, line)
        again, fixed = true, fixed + 1
      else
        lines[#lines + 1], heads[#heads + 1] = line, tonumber(head[2])
      end
    end
  until not again or fixed >= MOST_MOVED and #lines > 0 or fixed >= MOST_LOOKS
  return lines, heads
end

-- The queues and the runtime that are being looked at. A woken line of others takes nobody's turn.
local served = {}
function Turns.serve(runtime)
  served = { runtime = runtime, queues = asked and {} }
  for i = 1, asked and #asked or 0 do served.queues[asked[i]] = true end
end
local function is_served(line)
  local of = Line.parts(line)
  return of[1] == served.runtime and (not asked or served.queues[of[2]]) and queue_settings(of[2]).paused == ''
end

-- Lines that wait for an awake key become eligible, as many of those served as it has room for.
local function wake_key(key)
  local limit = Limit.get(key)
  local room = min(limit and Limit.room(limit) or math.huge, MOST_MOVED - woken)
  if room <= 0 and limit and call('EXISTS', KEY.waiters_ .. key) == 1 then
    local at = Limit.refuses(limit, 1)
    if at and at < math.huge then call('ZADD', KEY.timers, 'LT', at, key) end
  end
  local all, mine = 0, 0
  while mine < room and woken < MOST_MOVED do
    local lines, heads = most_urgent(key, room - mine)
    if #lines == 0 then break end
    for i = 1, #lines do
      call('ZREM', KEY.waiters_ .. key, lines[i])
      call('HSET', KEY.lines, lines[i], '')
      Line.open(lines[i], heads[i], false)
      if is_served(lines[i]) then mine = mine + 1 end
    end
    all, woken = all + #lines, woken + #lines
  end
  if limit and Limit.room(limit) == 0 or call('EXISTS', KEY.waiters_ .. key) == 0 then call('SREM', KEY.awake, key) end
  return all
end
function Turns.wake()
  local n = 0
  fire_timers()
  for _, key in ipairs(call('SRANDMEMBER', KEY.awake, MOST_MOVED)) do
    if woken >= MOST_MOVED then
      Turns.bounded = true
      break
    end
    if not timed[key] then n = n + wake_key(key) end
  end
  return n
end

-- Reading a line, or the plain line of a queue, page by page.
local function read_page(pager)
  pager.page = call('ZRANGE', pager.key, pager.from, pager.from + pager.size - 1, 'WITHSCORES')
  pager.from, pager.at, pager.cs = pager.from + pager.size, 1, nil
  pager.head = tonumber(pager.page[2])
end
local function pager_of(key, queue, size, line)
  local pager = pagers[key]
  if not pager then
    pager = { key = key, queue = queue, line = line, from = 0, size = size, fresh = 0, gone = list_of(removed, key) }
    pagers[key] = pager
    read_page(pager)
  end
  return pager
end
local function step(pager)
  pager.at = pager.at + 2
  pager.head = tonumber(pager.page[pager.at + 1])
  if not pager.head and #pager.page == 2 * pager.size then read_page(pager) end
end
local function has_expired(pager)
  if band(byte(pager.c, 9), EXPIRES) == 0 then return false end
  local job = jobs[pager.id] or open_job(pager.id, pager.c, pager.m)
  return job.expires and job.attempt == 0 and job.expires <= now
end
-- The pager stands at its next job that can be leased (`id`, `c`, `m`, `head`), or false.
local function peek(pager)
  while pager.head do
    if not pager.cs then
      local ids = {}
      for i = pager.at, #pager.page, 2 do ids[#ids + 1] = pager.page[i] end
      local groups = grouped(ids)
      pager.cs, pager.ms, pager.base = fetch(ids, '', groups), fetch(ids, 'm', groups), pager.at - 2
    end
    local i = (pager.at - pager.base) / 2
    pager.id, pager.c, pager.m = pager.page[pager.at], pager.cs[i], pager.ms[i]
    if not pager.c then
      call('ZREM', pager.key, pager.id) -- its record was lost (eviction): nothing to run
      pager.from = pager.from - 1
    elseif has_expired(pager) then
      pager.passed = true
      looks = looks + 1
      if looks > MOST_LOOKS then
        Turns.bounded = true
        return false
      end
    else
      return true
    end
    step(pager)
  end
  return false
end

local function cost_of(pager, key)
  local job = jobs[pager.id] or open_job(pager.id, pager.c, pager.m)
  local bounds = Line.bounds(job)
  for i = 2, #bounds, 6 do
    if bounds[i] == key then return bounds[i + 1] end
  end
  return 1
end
-- The key that has no room for the pager's job and when it has, or nil.
local function refusing(pager)
  local of = Line.parts(pager.line)
  for i = 4, #of do
    local limit = Limit.get(of[i])
    local at = limit and Limit.refuses(limit, limit.n >= 0 and cost_of(pager, of[i]) or 1)
    if at then return of[i], at end
  end
end

-- Since when a job waits, a point of its priority counting as `ageing`.
local function age(pager, ageing)
  local ready = pager.m and parse('>I7', pager.m, 25) or parse('>I7', pager.c)
  return ready - (byte(pager.c, 8) - 100) * ageing
end
local function value(source, group, pager)
  if source.order == 's' then return pager.head end
  if source.order == 'a' then return age(pager, source.ageing) end
  return Line.share(source.queue, group).pass
end

local function set_aside(pager, ord)
  local of = Line.parts(pager.line)
  call('ZREM', KEY.eligible_ .. of[1] .. ':' .. of[2] .. ':' .. of[3], pager.line)
  aside[#aside + 1] = { pager.line, ord }
end

local function park(source, group, pager, key, at)
  Line.close(pager.line, key, value(source, group, pager), at)
  closed = closed + 1
  if at < math.huge then timed[key] = true end
  if closed >= MOST_MOVED then Turns.bounded = true end
end

-- The best job of a group: of its eligible lines the one with the first head, whose keys have room. Full lines wait for their
-- key, empty ones are dropped.
local function best_of(source, group)
  local home = KEY.eligible_ .. source.runtime .. ':' .. source.queue .. ':' .. group
  while not Turns.bounded do
    looks = looks + 1
    local first = call('ZRANGE', home, 0, 1, 'WITHSCORES')
    local bound, second, plain = tonumber(first[2]), tonumber(first[4]), group == '-' and source.order ~= 's' and source.plain
    if plain and peek(plain) and (not bound or plain.head < bound) then return plain end
    if not bound then return nil end
    local of = Line.parts(first[1])
    local pager = pager_of(KEY.line_ .. first[1], source.queue, source.size, first[1])
    if not peek(pager) then
      if Turns.bounded then return nil end
      if pager.passed then set_aside(pager, bound) else Line.drop(first[1]) end
    elseif pager.head > bound and (second and pager.head > second or plain and plain.head and pager.head > plain.head) then
      call('ZADD', home, pager.head, first[1])
    elseif of[4] and source.idle.left <= 0 then
      set_aside(pager, pager.head)
      if #aside >= MOST_MOVED then
        source.stopped = true
        return nil
      end
    else
      local key, at = refusing(pager)
      if not key then return pager end
      park(source, group, pager, key, at)
    end
  end
end

-- The queue's next job, as a pager that stands at it. Groups stand by lower bounds: the first is corrected and looked at again.
local function top(source, before)
  local turns = KEY.turns_ .. source.runtime .. ':' .. source.queue
  while not Turns.bounded and not source.stopped do
    looks = looks + 1
    if looks > MOST_LOOKS then Turns.bounded = true end
    local first = call('ZRANGE', turns, 0, 1, 'WITHSCORES')
    if not first[1] then
      source.lined = false
      call('SREM', KEY.lined_ .. source.runtime, source.queue)
      return nil
    end
    local spot, group, score = sub(first[1], 1, 7), sub(first[1], 8), tonumber(first[2])
    if before and score > before then return nil end
    local pager = best_of(source, group)
    if pager then
      local now_at, wanted = value(source, group, pager), pack('>I7', pager.head)
      source.group = group
      if not first[3] or now_at == score and wanted == spot then return pager end
      Line.set_turn(source.runtime, source.queue, group, now_at, pager.head, spot)
    elseif not Turns.bounded and not source.stopped then
      Line.drop_turn(source.runtime, source.queue, group, spot)
    end
  end
end

local function next_of(source)
  local plain = peek(source.plain) and source.plain
  if not source.lined then return plain end
  if source.order ~= 's' then
    if plain then Line.offer(source.runtime, source.queue, '-', plain.head, true) end
    return top(source)
  end
  local pager = top(source, plain and plain.head)
  if pager and plain then return plain.head < pager.head and plain or pager end
  return pager or plain
end

local function lease_next(source, pager)
  if source.order ~= 's' then Turns.turned = true end
  local line = pager.line
  if not line and not pager.m and band(byte(pager.c, 9), PLAIN) == byte(pager.c, 9) then
    lease_fresh(pager.id, pager.c, pager.head, pager)
  else
    local job = jobs[pager.id] or open_job(pager.id, pager.c, pager.m)
    job.ord = pager.head
    lease_to(job)
  end
  local of, spends = line and Line.parts(line) or {}, false
  for i = 4, #of do
    local limit = Limit.get(of[i])
    if limit then
      Limit.held(limit)
      limit.count = limit.count + 1
      if limit.n >= 0 then
        Limit.spend(limit, cost_of(pager, of[i]))
        spends = true
      end
    end
  end
  if of[4] then source.idle.left = source.idle.left - 1 end
  if spends then rated[#rated + 1] = pager.id end
  if source.order == 'f' or source.order == 'w' then Line.serve(source.queue, source.lined and source.group or '-') end
  step(pager)
end

local function sources_of(runtime, names, lined, want, idle)
  local sources, size = {}, #names == 1 and want or max(8, floor(want / max(#names, 1)))
  for i = 1, #names do
    local settings = queue_settings(names[i])
    sources[i] = {
      queue = names[i], runtime = runtime, order = settings.order, ageing = settings.ageing, lined = lined[names[i]], idle = idle,
      size = min(want, 8), plain = pager_of(waiting_key(runtime, names[i]), names[i], size),
    }
  end
  return sources
end

-- What was set aside may be looked at again by the next claim; queues that have nothing are no longer looked at.
local function tidy(sources, tidies)
  for s = 1, #sources do
    local source, plain = sources[s], sources[s].plain
    count(source.queue, WAITING, -plain.fresh)
    count(source.queue, ACTIVE, plain.fresh)
    plain.fresh = 0
    if tidies and not source.lined and not plain.page[1] then call('SREM', ready_key(source.runtime), source.queue) end
  end
  for a = 1, #aside do Line.open(aside[a][1], aside[a][2], false) end
  aside = {}
end

-- Which of these queues have lines, or nil. Once it was so it stays so in this script.
local general = {}
function Turns.lined(runtime, names)
  local all, lined, found = call('SMEMBERS', KEY.lined_ .. runtime), {}, general[runtime]
  for i = 1, #all do lined[all[i]] = true end
  for i = 1, #names do found = found or lined[names[i]] end
  general[runtime] = found
  return found and lined
end

-- The queue whose next job comes first.
local function first_of(sources)
  local best
  for s = 1, #sources do
    local source = sources[s]
    if source.pager == nil then source.pager = next_of(source) or false end
    if source.pager and (not best or source.pager.head < best.pager.head) then best = source end
  end
  return best
end

-- A line that was woken and met another full key leaves its turn to the next one that waits for the first.
local function wake_again(sources)
  if Turns.wake() == 0 then return false end
  for s = 1, #sources do
    local source = sources[s]
    source.pager, source.lined = nil, call('SISMEMBER', KEY.lined_ .. source.runtime, source.queue) == 1
  end
  return true
end

function Turns.take(runtime, names, lined, want, idle, tidies)
  local sources, given = sources_of(runtime, names, lined, want, idle), 0
  if not token then prepare() end
  while given < want and not Turns.bounded do
    local best, before
    repeat
      before, best = closed, first_of(sources)
    until closed == before or not wake_again(sources)
    if not best or Turns.bounded then break end
    local pager = best.pager
    best.pager = nil
    -- A job of another queue may have taken the room since this one was found.
    if #sources == 1 or not pager.line or not refusing(pager) then
      lease_next(best, pager)
      given = given + 1
    end
  end
  tidy(sources, tidies)
  for key in pairs(timed) do call('SREM', KEY.awake, key) end
  return given
end

-- The first key to open of those that lines of these queues wait for.
function Turns.first_timer()
  local timers, wanted = call('ZRANGE', KEY.timers, 0, 63, 'WITHSCORES'), {}
  for i = 1, asked and #asked or 0 do wanted[asked[i]] = true end
  for i = 1, #timers, 2 do
    local lines = call('ZRANGE', KEY.waiters_ .. timers[i], 0, 15)
    for l = 1, #lines do
      if not asked or wanted[Line.parts(lines[l])[2]] then return tonumber(timers[i + 1]) end
    end
  end
end
