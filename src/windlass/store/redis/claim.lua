-- What it does: leases waiting jobs to a worker: each queue in its order, several queues by (priority, age) of their next jobs.
-- Input:  see lease.lua.
-- Output: {wait or -1, more, lease, granted at (0: each state's own start), {id, record, state before or '', order, ...}, ids
--         of those that spent a rate as one string, 1 if they are in the order of turns}.
-- Relies: serve.lua, turns.lua; a repeated (session, number) gives the jobs still held, with fresh expiry. A queue that has
--         plain lines only is read by serve.lua, page by page; others go through turns.lua.

local before = 0

-- The jobs of an earlier claim whose reply was lost.
local function again(packed)
  local _, old, _, at = parse('>I6I7I7', packed)
  local ids = {}
  before = old
  for from = at, #packed, 16 do ids[#ids + 1] = sub(packed, from, from + 15) end
  load(ids)
  for i = 1, #ids do
    local job = jobs[ids[i]]
    if job and job.state == ACTIVE and job.lease == old then
      call('ZADD', KEY.leased, expiry, job.id)
      row(job.id, job.c, job.m, job.ord)
      if job.line ~= '' and Line.has_rate(job.line) then rated[#rated + 1] = job.id end
    end
  end
end

-- A job that needs a table; 1 if it was leased.
local function lease_other(id, c, m, ord)
  local job = open_job(id, c, m)
  if job.expires and job.attempt == 0 and job.expires <= now then return 0 end
  job.ord = ord
  lease_to(job)
  return 1
end

-- Queues without lines are read the short way, also beside others that have some. What one way has leased stands in its line
-- until the end, so for a runtime it is one or the other.
local function take_all(runtime, want)
  if not stirred then return take(lines_of(runtime, open_queues(runtime), want), want, lease_other) end
  local given, idle_left = 0, { left = idle and idle[runtime + 1] or math.huge }
  Turns.serve(runtime)
  repeat
    local woken, names = Turns.wake(), open_queues(runtime)
    local lined = Turns.lined(runtime, names)
    if not lined then
      if woken > 0 or Turns.bounded then more = 1 end
      return take(lines_of(runtime, names, want), want, lease_other)
    end
    given = given + Turns.take(runtime, names, lined, want - given, idle_left, not asked)
  until given >= want or woken == 0 or Turns.bounded
  if given < want and Turns.bounded then more = 1 end
  return given
end

go_on_when_full()
local previous = call('HGET', KEY.sessions, session)
local wait = -1
if previous and parse('>I6', previous) == number then
  again(previous)
else
  serve(take_all)
  remember()
end
tell_hunger()
if #rows == 0 then
  local due, opens = soonest_due(asked), stirred and Turns.first_timer()
  if due or opens then wait = max(min(due or math.huge, opens or math.huge) - now, 0) end
end
if opened then Limit.settle(KEY.limits) end
for key, n in pairs(heads) do call('ZREMRANGEBYRANK', key, 0, n - 1) end
flush()
return { wait, more, token or before, token and now or 0, rows, table.concat(rated), stirred and Turns.turned and 1 or 0 }
