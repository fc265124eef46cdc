-- What it does: a claim from plain lines, page by page; used by claim.lua and claim_plain.lua.
-- Input:  see lease.lua.
-- Output: `take(lines, want, other)` from `lines_of(...)` of `open_queues(runtime)`, `serve(take)`, `remember()`,
--         `tell_hunger()`; `heads`, `more`.
-- Relies: lease.lua.

local SCAN = 1000
local more, starved = 0, false

local function open_queues(runtime)
  local names, open = asked or call('SMEMBERS', ready_key(runtime)), {}
  if #names == 0 then return open end
  local paused = call('HMGET', KEY.queues, unpack(names))
  for i = 1, #names do
    if not paused[i] or not paused[i]:find('^%d') then open[#open + 1] = names[i] end
  end
  return open
end

-- One queue's line: pages of (id, order) read as they are needed.
local function refill(line)
  line.page = call('ZRANGE', line.key, line.from, line.from + line.size - 1, 'WITHSCORES')
  line.from, line.at = line.from + line.size, 1
  line.head = tonumber(line.page[2])
end

local function lines_of(runtime, names, want)
  local lines = {}
  local size = #names == 1 and want or max(8, floor(want / max(#names, 1)))
  for i = 1, #names do
    local line = { key = waiting_key(runtime, names[i]), queue = names[i], from = 0, size = size, fresh = 0, picked = 0 }
    refill(line)
    if line.head then lines[#lines + 1] = line
    elseif not asked then call('SREM', ready_key(runtime), names[i]) end
  end
  return lines
end

-- The two lines with the smallest heads: jobs are taken from the first until it passes the second.
local function best(lines)
  local first, second
  for i = 1, #lines do
    local line = lines[i]
    if line.head then
      if not first or line.head < first.head then first, second = line, first
      elseif not second or line.head < second.head then second = line end
    end
  end
  return first, second
end

local function pick(lines, want)
  local ids, orders, from, n = {}, {}, {}, 0
  while n < want do
    local line, other = best(lines)
    if not line then break end
    local limit, page, at, head, before = other and other.head or math.huge, line.page, line.at, line.head, n
    while n < want and head and head <= limit do
      n = n + 1
      ids[n], orders[n], from[n] = page[at], head, line
      at = at + 2
      head = tonumber(page[at + 1])
    end
    line.at, line.head, line.picked = at, head, line.picked + n - before
    if not head and #page == 2 * line.size then refill(line) end
  end
  return ids, orders, from
end

-- Lines of which all was taken from the head on, so many each: a range is removed in half the time, before the lists are written.
local heads = {}

-- How many were taken. `other` takes those that have no short form; without it nothing is written once one is met: nil.
local function take(lines, want, other)
  local given, scanned = 0, 0
  for l = 1, #lines do lines[l].gone = list_of(removed, lines[l].key) end
  while given < want and scanned < SCAN do
    local ids, orders, from = pick(lines, want - given)
    if #ids == 0 then break end
    if not token then prepare() end
    scanned = scanned + #ids
    local groups = grouped(ids)
    local cs, ms = fetch(ids, '', groups), fetch(ids, 'm', groups)
    for i = 1, #ids do
      local id, c, m = ids[i], cs[i], ms[i]
      if not c then
        call('ZREM', from[i].key, id) -- its record was lost (eviction): nothing to run
      elseif not m and band(byte(c, 9), PLAIN) == byte(c, 9) then
        lease_fresh(id, c, orders[i], from[i])
        given = given + 1
      elseif m and is_simple(m) then
        lease_simple(id, c, m, orders[i], from[i])
        given = given + 1
      elseif not other then
        return nil
      else
        given = given + other(id, c, m, orders[i])
      end
    end
  end
  for l = 1, #lines do
    if lines[l].fresh > 1 and lines[l].fresh == lines[l].picked then
      removed[lines[l].key] = nil
      heads[lines[l].key] = lines[l].fresh
    end
    count(lines[l].queue, WAITING, -lines[l].fresh)
    count(lines[l].queue, ACTIVE, lines[l].fresh)
  end
  if given < want and scanned >= SCAN then more = 1 end
  return given
end

-- Fills the free slots of each runtime in turn by `take(runtime, want)`; false if that gave up.
local function serve(take)
  for runtime = 0, 2 do
    local want = min(slots[runtime + 1], room)
    if slots[runtime + 1] > room then more = 1 end
    if want > 0 then
      local given = take(runtime, want)
      if not given then return false end
      room = room - given
      if given < want then starved = true end
    end
  end
  return true
end

-- The claim by its session, for a repeat after a lost reply.
local function remember()
  if #rows == 0 then return end
  local held = { pack('>I6I7I7', number, token, now) }
  for i = 1, #rows, 4 do held[#held + 1] = rows[i] end
  call('HSET', KEY.sessions, session, table.concat(held))
  call('HSET', KEY.claimed, worker, text(now))
end

-- A worker that found too little is about to sleep: the next job is told at once.
local function tell_hunger()
  if starved and call('GET', KEY.idle) ~= '' then call('SET', KEY.idle, '') end
end
