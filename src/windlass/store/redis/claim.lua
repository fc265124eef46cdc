-- What it does: leases waiting jobs to a worker, by (priority, age) over its queues, for each runtime's free slots.
-- Input:  ARGV[1] {worker, session, number, lease, slots {async, thread, process}, queues or false, most}.
-- Output: {wait or -1, more, lease, granted at (0: each state's own start), {id, record, state before or '', order, ...}}.
-- Relies: prelude.lua, ends.lua; a repeated (session, number) gives the jobs still held, with fresh expiry.

local request = cmsgpack.unpack(ARGV[1])
local worker, session, number, lease_for, slots, asked, room = unpack(request, 1, 7)
local SCAN = 1000
local expiry = now + lease_for
local rows, token, before, more = {}, nil, 0, 0

local function row(job)
  local n = #rows
  rows[n + 1], rows[n + 2], rows[n + 3], rows[n + 4] = job.id, job.c, job.m or '', job.ord
end

local function lease_to(job)
  token = token or new_lease()
  job.state, job.worker, job.lease, job.started, job.until_at = ACTIVE, worker, token, now, expiry
  job.moved, job.dirty = true, true
  if band(job.flags, STARTED) > 0 then free_key(job) end
  row(job)
end

-- The jobs of an earlier claim whose reply was lost.
local function again(packed)
  local _, old, _, at = parse('>I6I6I7', packed)
  local ids = {}
  before = old
  for from = at, #packed, 16 do ids[#ids + 1] = sub(packed, from, from + 15) end
  load(ids)
  for i = 1, #ids do
    local job = jobs[ids[i]]
    if job and job.state == ACTIVE and job.lease == old then
      call('ZADD', KEY.active, expiry, job.id)
      row(job)
    end
  end
end

local function open_queues(runtime)
  local names, open = asked or call('SMEMBERS', ready_key(runtime)), {}
  if #names == 0 then return open end
  local paused = call('HMGET', KEY.queues, unpack(names))
  for i = 1, #names do
    if not paused[i] or paused[i] == '' then open[#open + 1] = names[i] end
  end
  return open
end

-- One queue's line: pages of (id, order) read as they are needed.
local function refill(line)
  line.page = call('ZRANGE', line.key, line.from, line.from + line.size - 1, 'WITHSCORES')
  line.from, line.at = line.from + line.size, 1
  line.head = tonumber(line.page[2])
end
local function advance(line)
  line.at = line.at + 2
  if line.at > #line.page then
    if #line.page < 2 * line.size then line.head = nil else refill(line) end
  else
    line.head = tonumber(line.page[line.at + 1])
  end
end

local function lines_of(runtime, want)
  local lines, names = {}, open_queues(runtime)
  local size = #names == 1 and want or max(8, floor(want / max(#names, 1)))
  for i = 1, #names do
    local line = { key = waiting_key(runtime, names[i]), queue = names[i], from = 0, size = size }
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
  local ids, orders, from = {}, {}, {}
  while #ids < want do
    local line, other = best(lines)
    if not line then break end
    local limit = other and other.head
    repeat
      local n = #ids + 1
      ids[n], orders[n], from[n] = line.page[line.at], line.head, line
      advance(line)
    until #ids >= want or not line.head or (limit and line.head > limit)
  end
  return ids, orders, from
end

local function take(lines, want)
  local given, scanned = 0, 0
  while given < want and scanned < SCAN do
    local ids, orders, from = pick(lines, want - given)
    if #ids == 0 then break end
    scanned = scanned + #ids
    load(ids)
    for i = 1, #ids do
      local job = jobs[ids[i]]
      if not job then
        call('ZREM', from[i].key, ids[i]) -- its record was lost (eviction): nothing to run
      elseif not (job.expires and job.attempt == 0 and job.expires <= now) then
        job.ord = orders[i]
        lease_to(job)
        given = given + 1
      end
    end
  end
  if given < want and scanned >= SCAN then more = 1 end
  return given
end

local function first_due()
  local names, soonest = asked, nil
  if names then
    for i = 1, #names do
      for _, state in ipairs({ DELAYED, RETRYING }) do
        local head = call('ZRANGE', due_key(due_member(state, names[i])), 0, 0, 'WITHSCORES')
        if head[2] then soonest = min(soonest or tonumber(head[2]), tonumber(head[2])) end
      end
    end
    return soonest
  end
  while true do -- `due` holds lower bounds: make the first one exact, then it is the answer
    local first = call('ZRANGE', KEY.due, 0, 0, 'WITHSCORES')
    if not first[1] then return nil end
    local head = call('ZRANGE', due_key(first[1]), 0, 0, 'WITHSCORES')
    if not head[2] then call('ZREM', KEY.due, first[1])
    elseif tonumber(head[2]) == tonumber(first[2]) then return tonumber(head[2])
    else call('ZADD', KEY.due, head[2], first[1]) end
  end
end

local previous = call('HGET', KEY.sessions, session)
local repeated = previous and parse('>I6', previous) == number
local starved = false
if repeated then
  again(previous)
else
  for runtime = 0, 2 do
    local want = min(slots[runtime + 1], room)
    if slots[runtime + 1] > room then more = 1 end
    if want > 0 then
      local given = take(lines_of(runtime, want), want)
      room = room - given
      if given < want then starved = true end
    end
  end
end
if token then
  local held = { pack('>I6I6I7', number, token, now) }
  for i = 1, #rows, 4 do held[#held + 1] = rows[i] end
  call('HSET', KEY.sessions, session, table.concat(held))
  call('HSET', KEY.claimed, worker, text(now))
end
if starved then call('SET', KEY.idle, '') end
local wait = -1
if #rows == 0 then
  local due = first_due()
  if due then wait = max(due - now, 0) end
end
flush()
return { wait, more, token or before, token and now or 0, rows }
