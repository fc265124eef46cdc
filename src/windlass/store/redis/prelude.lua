-- What it does: starts every script: key names, the clock, job records, and the unit of work that `flush` writes.
-- Input:  KEYS[1] = "{namespace}:", the common beginning of every key (one hash tag, so one slot of a cluster).
-- Output: the functions below; a verb changes job tables and calls `flush` once.
-- Relies: Redis 6.2 commands; no rollback, so a verb refuses before its first write. docs/design/redis.md lists the keys.

local P = KEYS[1]
local call, sub, byte, char, format = redis.call, string.sub, string.byte, string.char, string.format
local pack, parse, floor, max, min = struct.pack, struct.unpack, math.floor, math.max, math.min
local band = bit.band

-- `KEY.name` is that key, `KEY.name_` the beginning of keys `name:...`. Each is put together when it is asked for: to make all of
-- them took a small verb a tenth of its time.
local KEY = setmetatable({}, { __index = function(made, name)
  local key = P .. (sub(name, -1) == '_' and sub(name, 1, -2) .. ':' or name)
  made[name] = key
  return key
end })
local function ready_key(runtime) return P .. 'ready:' .. runtime end
local function edges_key(id) return P .. 'edges:' .. id end
local function ahead_key(id) return P .. 'ahead:' .. id end
local function cut_key(id) return P .. 'cut:' .. id end
local function doomed_key(id) return P .. 'doomed:' .. id end
local function steps_key(id) return P .. 'steps:' .. id end
local function signals_key(id) return P .. 'signals:' .. id end
local function log_key(id) return P .. 'log:' .. id end
local function stage_key(tx) return P .. 'stage:' .. tx end
local function tally_key(minute) return P .. 'tally:' .. format('%.0f', minute) end
local function schedule_key(key) return P .. 'schedule:' .. key end
local function space_key(space) return P .. 'space:' .. space end
-- Dead letters by the fingerprint of their error; those without one stand together.
local function failures_key(print) return P .. (print == '' and 'failures' or 'failures:' .. print) end
local function final_key(state, queue) return P .. 'final:' .. state .. ':' .. queue end
local function waiting_key(runtime, queue) return P .. 'waiting:' .. runtime .. ':' .. queue end
local function park_key(park) return P .. 'parked:' .. park end
local function due_member(state, queue) return state .. ':' .. queue end
local function due_key(member) return P .. 'later:' .. member end
local function blocked_key(queue) return P .. 'blocked:' .. queue end
local function channel(topic) return P .. '!' .. topic end

-- States are numbers here, in the order of `windlass.values.states.State`.
local BLOCKED, DELAYED, WAITING, ACTIVE, RETRYING, COMPLETED, FAILED, CANCELLED = 1, 2, 3, 4, 5, 6, 7, 8
local END_OF_TIME = {end_of_time}

-- The clock: the server's, or the instant a test holds.
local function server_time()
  local t = call('TIME')
  return t[1] * 1000000 + t[2]
end
-- What every script looks at first, nearly always absent: `<instant that a test holds>|<journal awake until> <last trimmed>`.
local first, held, till, trimmed = call('GET', KEY.clock), nil, nil, nil
if first then held, till, trimmed = first:match('^(%d*)|?(%d*) ?(%d*)$') end
local now = tonumber(held) or server_time()
local function put_clock(at, mark)
  if at ~= '' or mark ~= '' then call('SET', KEY.clock, at .. (mark ~= '' and '|' .. mark or '')) else call('DEL', KEY.clock) end
end

-- A number as the text that keeps all its digits.
local function text(number) return format('%.0f', number) end

-- Calls a command whose argument list may be longer than one `unpack` can take; `width` values belong together.
local function spread(command, key, values, width)
  local n = #values
  if n <= 6000 then return call(command, key, unpack(values)) end
  local step = 6000 - 6000 % (width or 1)
  for i = 1, n, step do call(command, key, unpack(values, i, min(i + step - 1, n))) end
end

-- The journal, false while nobody listens. An entry of the stream `news` has one field, the event, and as its value `at, n` and up to 100 ids, of what is no job the packed names. The newest entry that is too old
-- stays as well: a cursor that stands on it has missed nothing.
local News = till and till ~= '' and (function()
  local MOST_IDS, MOST, LIFE = 100, 20000, 600000000
  if tonumber(till) <= now then return false end
  local EVENTS, NAMED = { {any:all} }, { queue = true, schedule = true, limit = true }
  local events, told, It = {}, {}, {}

  function It.add(event, id)
    event = EVENTS[event] or event
    local of = events[event]
    if not of then
      of = { n = 0, ids = {} }
      events[event], told[#told + 1] = of, event
    end
    of.n = of.n + 1
    if of.n <= MOST_IDS then of.ids[of.n] = id end
  end

  function It.trim()
    put_clock(held, till .. ' ' .. text(now))
    call('XTRIM', KEY.news, 'MAXLEN', MOST + 1)
    local last
    repeat
      local page, old = call('XRANGE', KEY.news, last or '-', '+', 'COUNT', 100), 0
      for i = 1, #page do
        if parse('>I7', page[i][2][2]) < now - LIFE then last, old = page[i][1], i else break end
      end
    until old < 100
    if last then call('XTRIM', KEY.news, 'MINID', last) end
  end

  function It.write()
    for i = 1, #told do
      local event, of = told[i], events[told[i]]
      call('XADD', KEY.news, '*', event, pack('>I7I4', now, of.n) .. (NAMED[event] and cmsgpack.pack(of.ids) or table.concat(of.ids)))
    end
    if told[1] and math.abs(now - trimmed) >= 1000000 then It.trim() end
  end
  return It
end)()

-- Counters are read once a script and written once by `flush`.
local seq, seq_read
local function next_seq()
  if not seq then
    seq = tonumber(call('GET', KEY.seq) or '0')
    seq_read = seq
  end
  seq = seq + 1
  return seq
end
local PRIORITY = 35184372088832 -- 2^45: see windlass.values.priority.order
local function order(priority)
  if not seq then return (100 - priority) * PRIORITY + next_seq() end
  seq = seq + 1
  return (100 - priority) * PRIORITY + seq
end
-- A token is never given twice, even if a crash of the server took the last second of its counter along: it is no smaller
-- than the time.
local function new_lease()
  local token = max(tonumber(call('GET', KEY.lease) or '0') + 1, server_time())
  call('SET', KEY.lease, text(token))
  return token
end

-- The segment of an id: the 64 ms of its creation, out of its first 42 bits: a window of 65.5 s (8 hex digits, as the id
-- begins) and one of its 1,024 slots (3 hex digits).
local segments = {}
local function window_of(id) return format('%02x%02x%02x%02x', byte(id, 1, 4)) end
local function slot_of(id)
  local high, low = byte(id, 5, 6)
  return high * 4 + floor(low / 64)
end
local function segment(id)
  local start = sub(id, 1, 6)
  local key = segments[start]
  if not key then
    key = P .. 'job:' .. window_of(id) .. format('%03x', slot_of(id))
    segments[start] = key
  end
  return key
end
local function slots_key(window) return P .. 'slots:' .. window end
-- Puts segments (key -> an id of it) into the listing index.
local function open_slots(ids)
  for _, id in pairs(ids) do
    local window = window_of(id)
    if call('SETBIT', slots_key(window), slot_of(id), 1) == 0 then call('ZADD', KEY.windows, (parse('>I4', id)), window) end
  end
end
local function uuid(id)
  return (format(string.rep('%02x', 16), byte(id, 1, 16)):gsub('^(........)(....)(....)(....)', '%1-%2-%3-%4-'))
end

-- The immutable record (field <id>): `created, priority + 100, flags, max_attempts, queue, kind`, then by flags expires,
-- parents, unique, bounds (msgpack: weight, then of each limit six values); `who` and the payload are opaque. Python's codec.py is the other side of it.
local HEAD = '>I7BBHBc0Bc0'
local UNIQUE, EXPIRES, CHILD, WHO, RICH, BOUNDS = 4, 8, 16, 32, 64, 128 -- bits 1 and 2: the runtime
local function read_head(job)
  local created, priority, flags, most, queue, kind, at = parse(HEAD, job.c)
  job.created, job.priority, job.head_flags, job.most, job.queue, job.kind = created, priority - 100, flags, most, queue, kind
  job.flags = job.flags or flags -- the mutable record's may have lost EXPIRES at a requeue
  job.runtime = band(flags, 3)
  if band(flags, EXPIRES) > 0 then job.expires, at = parse('>I7', job.c, at) end
  if band(flags, CHILD) > 0 then job.parents, at = parse('>I4c0', job.c, at) end
  if band(job.flags, EXPIRES) == 0 then job.expires = nil end
  if band(flags, UNIQUE) > 0 then job.mode, job.key, at = parse('>BHc0', job.c, at) end
  job.bounds_at = at
  if band(flags, BOUNDS) > 0 then job.bounds, at = parse('>I4c0', job.c, at) end
  job.rest = at
end

-- The mutable record (field <id>m), absent while a job is as it was born into `waiting`. `park`: the key under which it
-- waits out of reach; while it is active the reason of the cancel that flagged it; while it is suspended ':' and the
-- name of the signal that it waits for.
local STATE = '>BBBI7I7I7I7I7I7HHI3Hc0Hc0Hc0'
local CANCELLING, AHEAD, LINED = 1, 2, 4 -- with LINED the name of the job's line stands at the end
-- limit.lua and lines.lua: keys that are limited, and the lines of jobs that are under them. Made at their first use, since to
-- make some fifty functions takes as long as a small verb.
local Limit, Line, opened, open_lines = {}, {}, false, nil
local function at_first_use(of, name)
  opened = true
  setmetatable(Limit, nil)
  setmetatable(Line, nil)
  open_lines()
  return rawget(of, name)
end
setmetatable(Limit, { __index = at_first_use })
setmetatable(Line, { __index = at_first_use })
-- ledger.lua: what operations know of a job, and the groups of dead letters. `booked`: jobs whose ledger changes by this script; a
-- verb puts what it says of one into `job.books`.
local booked, keep_books = {}, nil
local jobs, loaded = {}, {} -- every job of this script by id, and in the order of loading
local function keep(job)
  jobs[job.id] = job
  loaded[#loaded + 1] = job
  return job
end

local FRESH = { __index = {
  was = WAITING, park_was = '', marks = 0, lease = 0, settled = 0, ord = 0, started = 0, finished = 0, attempt = 0,
  line = '', line_was = '', rescues = 0, waits = 0, worker = '', reason = '', park = '', attempt_was = 0, until_at = 0, run_was = 0,
} }
local function open_job(id, c, m, queue)
  local job
  if m then
    local state, flags, marks, lease, settled, ord, run_at, started, finished, attempt, rescues, waits, worker, reason, park, at =
      parse(STATE, m)
    local line = ''
    if band(marks, LINED) > 0 then
      marks = marks - LINED
      line = parse('>Hc0', m, at)
    end
    job = {
      id = id, c = c, m = m, was = state, park_was = park, state = state, flags = flags, runtime = band(flags, 3),
      marks = marks, lease = lease, settled = settled, ord = ord, run_at = run_at, started = started, finished = finished,
      attempt = attempt, rescues = rescues, waits = waits, worker = worker, reason = reason, park = park, queue = queue,
      line = line, line_was = line, attempt_was = attempt, run_was = run_at, until_at = 0, flagged_was = band(marks, CANCELLING) > 0,
    }
    if c then read_head(job) end
  else
    job = setmetatable({ id = id, c = c, state = WAITING }, FRESH)
    read_head(job)
    job.run_at = job.created
  end
  return keep(job)
end

local function encode_state(job)
  local worker, reason, park, line = job.worker, job.reason, job.park, job.line
  if #reason > 60000 then reason = sub(reason, 1, 60000) end
  return pack(
    STATE, job.state, job.flags, line ~= '' and job.marks + LINED or job.marks, job.lease, job.settled, job.ord, job.run_at, job.started, job.finished,
    min(job.attempt, 65535), min(job.rescues, 65535), job.waits, #worker, worker, #reason, reason, #park, park
  ) .. (line ~= '' and pack('>Hc0', #line, line) or '')
end

-- The ids of each segment, with their positions; nearly always there is one.
local function grouped(ids)
  local by_key, groups = {}, {}
  for i = 1, #ids do
    local key = segment(ids[i])
    local group = by_key[key]
    if not group then
      group = { key = key, ids = {}, at = {} }
      by_key[key], groups[#groups + 1] = group, group
    end
    local n = #group.ids + 1
    group.ids[n], group.at[n] = ids[i], i
  end
  return groups
end

-- The values of the fields <id><suffix>, in the order of the ids (false where there is none): one HMGET a segment.
local function fetch(ids, suffix, groups)
  groups = groups or grouped(ids)
  local out = {}
  for g = 1, #groups do
    local fields, at = groups[g].ids, groups[g].at
    local key, n = groups[g].key, #fields
    if suffix ~= '' then
      fields = {}
      for i = 1, n do fields[i] = groups[g].ids[i] .. suffix end
    end
    if #groups == 1 and n <= 6000 then return call('HMGET', key, unpack(fields)) end
    for from = 1, n, 6000 do
      local values = call('HMGET', key, unpack(fields, from, min(from + 5999, n)))
      for v = 1, #values do out[at[from + v - 1]] = values[v] end
    end
  end
  return out
end

-- Loads jobs whole into `jobs`; ids that no longer have a record are left out.
local function load(ids)
  local missing = {}
  for i = 1, #ids do
    if not jobs[ids[i]] then missing[#missing + 1] = ids[i] end
  end
  local groups = grouped(missing)
  local cs, ms = fetch(missing, '', groups), fetch(missing, 'm', groups)
  for i = 1, #missing do
    if cs[i] and not jobs[missing[i]] then open_job(missing[i], cs[i], ms[i]) end
  end
end
local function get(id)
  if not jobs[id] then load({ id }) end
  return jobs[id]
end
-- A job opened by its mutable record alone has its immutable one loaded when something asks for it.
local function whole(job)
  if not job.c then
    job.c = call('HGET', segment(job.id), job.id)
    read_head(job)
  end
  return job
end

local function is_final(state) return state >= COMPLETED end
local function is_pending(state) return state < ACTIVE or state == RETRYING end

-- A job that waits for a signal. One that does so for a while only stands among those that are due at a time.
local function is_suspended(job) return job.state == BLOCKED and job.park ~= '' end

-- Where a job stands: the sorted set of its state, and its score there. `old`: where it stood before this script.
local places = {}
local function place(state, job, old)
  if state == ACTIVE then return KEY.leased end
  local park = old and job.park_was or not old and job.park or ''
  local line = state == WAITING and (old and job.line_was or not old and job.line) or ''
  if state == WAITING and park ~= '' then return park_key(park) end
  if line ~= '' then return KEY.line_ .. line end
  local queue = job.queue
  local slot = state == WAITING and 10 + job.runtime or state
  if state == BLOCKED and park ~= '' and (old and job.run_was or not old and job.run_at) < END_OF_TIME then slot = 20 end
  local of = places[slot]
  if not of then
    of = {}
    places[slot] = of
  end
  local key = of[queue]
  if not key then
    if state == WAITING then key = waiting_key(job.runtime, queue)
    elseif slot == BLOCKED then key = blocked_key(queue)
    elseif is_final(state) then key = final_key(state, queue)
    else key = due_key(due_member(state, queue)) end
    of[queue] = key
  end
  return key
end
local function score(state, job)
  if state == WAITING then return job.ord end
  if state == ACTIVE then return job.until_at end
  if state == BLOCKED then return job.park ~= '' and job.run_at < END_OF_TIME and job.run_at or 0 end
  if is_final(state) then return job.finished end
  return job.run_at
end

-- The order of a waiting job that has no mutable record stands in its place only.
local function with_order(job)
  if job.state == WAITING and job.ord == 0 then
    job.ord = tonumber(call('ZSCORE', place(WAITING, job), job.id) or '0')
  end
  return job
end

-- Full memory is judged at a script's first write, and only if that could take memory. Verbs that let work go on begin with
-- one that cannot, so that workers drain a full store; those that bring work do not, and are refused whole.
local function go_on_when_full() call('ZREM', KEY.leased, '') end

-- What the unit of work has gathered: lists of arguments by key.
local removed, added, fields_set, fields_gone, counted = {}, {}, {}, {}, {}
local touched = {} -- keys of `added` that mean something more: waiting, later and parked sets
local topics = {}
local function list_of(lists, key)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  return list
end
local function put(lists, key, a, b)
  local list = list_of(lists, key)
  local n = #list
  list[n + 1] = a
  if b then list[n + 2] = b end
end
local function count(queue, state, n)
  local of = counted[state]
  if not of then
    of = {}
    counted[state] = of
  end
  of[queue] = (of[queue] or 0) + n
end
local function wake(topic) topics[topic] = true end
local function set_field(id, suffix, value) put(fields_set, segment(id), id .. suffix, value) end
local function drop_field(id, suffix) put(fields_gone, segment(id), id .. suffix) end

local function enter(job, state, key, at)
  put(added, key, at, job.id)
  if touched[key] == nil then
    if state == WAITING and job.park ~= '' then touched[key] = { park = job.park }
    elseif state == WAITING then touched[key] = job.line ~= '' and { line = job.line, at = at } or { ready = job }
    elseif state == DELAYED or state == RETRYING or state == BLOCKED and at > 0 then touched[key] = { due = due_member(state, job.queue), at = at }
    else touched[key] = false end
  elseif touched[key] and touched[key].at and at < touched[key].at then
    touched[key].at = at
  end
end

-- When the next job is due. `due` holds lower bounds: the first one is made exact until it is the answer.
local function soonest_due(names) -- of some queues, or of all
  local soonest
  for i = 1, names and #names or 0 do
    for _, state in ipairs({ BLOCKED, DELAYED, RETRYING }) do
      local head = call('ZRANGE', due_key(due_member(state, names[i])), 0, 0, 'WITHSCORES')
      if head[2] then soonest = min(soonest or tonumber(head[2]), tonumber(head[2])) end
    end
  end
  if names then return soonest end
  while true do
    local first = call('ZRANGE', KEY.due, 0, 0, 'WITHSCORES')
    if not first[1] then return nil end
    local head = call('ZRANGE', due_key(first[1]), 0, 0, 'WITHSCORES')
    if not head[2] then call('ZREM', KEY.due, first[1])
    elseif tonumber(head[2]) == tonumber(first[2]) then return tonumber(head[2])
    else call('ZADD', KEY.due, head[2], first[1]) end
  end
end

-- Microseconds until time brings something, -1 when it will not.
local function next_wait()
  local soonest, head = soonest_due(), call('ZRANGE', KEY.expiring, 0, 0, 'WITHSCORES')
  if head[2] then soonest = min(soonest or tonumber(head[2]), tonumber(head[2])) end
  return soonest and max(soonest - now, 0) or -1
end

local function expires_now(job, state, attempt)
  return band(job.flags, EXPIRES) > 0 and attempt == 0 and state and is_pending(state)
end

-- A queue's settings: `<instant of its pause>|<first letter of its order>|<ageing>`, the end left out when it is strict.
local queues = {}
local function queue_settings(queue)
  local settings = queues[queue]
  if not settings then
    local raw = call('HGET', KEY.queues, queue)
    local paused, letter, ageing = (raw or ''):match('^(%d*)|?(%l?)|?(%d*)$')
    settings = { known = raw, paused = paused, order = letter == '' and 's' or letter, ageing = tonumber(ageing) or {ageing} }
    queues[queue] = settings
  end
  return settings
end
-- Keys of whole queues and kinds, or false: nearly always there are none.
local scopes
local function global_keys()
  if scopes == nil then
    scopes = false
    local found = call('SMEMBERS', KEY.scopes)
    for i = 1, #found do
      scopes = scopes or {}
      scopes[found[i]] = true
    end
  end
  return scopes
end
-- The line of a job that becomes waiting, '' for the plain line of its queue.
local function line_of(job)
  local queue = job.queue or whole(job).queue
  if band(job.flags, BOUNDS) == 0 and queue_settings(queue).order == 's' and not global_keys() then return '' end
  return Line.of(whole(job))
end

-- A job gets its line when it becomes waiting and keeps it while it is active, so that its end knows what it holds.
local function note_line(job, was, state)
  local held, runs, waits = was == ACTIVE and job.line_was ~= '', state == ACTIVE, state == WAITING and job.park == ''
  if waits and (was ~= WAITING or job.park_was ~= '') or job.reline and (waits or runs) then job.line = line_of(job)
  elseif not runs and not waits then job.line = '' end
  if held and (not runs or job.reline) then Line.let_go(job) end
  if runs and job.line ~= '' and (not held or job.reline) then Line.hold(job) end
end

-- One changed job into the lists. `born`: it was in no place before. `gone`: it leaves with all its fields.
local function note(job)
  local state, was, id = job.state, job.was, job.id
  if job.gone then state = nil end
  if job.born then was = nil end
  if was ~= state then
    if was then count(job.queue, was, -1) end
    if state then count(job.queue, state, 1) end
    if News and not job.quiet then News.add(state or 'deleted', id) end
  end
  if was == FAILED or state == FAILED or job.books then booked[#booked + 1] = job end
  note_line(job, was, state)
  local from = was and place(was, job, true)
  local to = state and place(state, job)
  if from and from ~= to then put(removed, from, id) end
  if was == ACTIVE and state ~= ACTIVE and job.flagged_was then call('SREM', KEY.flagged, id) end
  if to then
    if from ~= to or job.moved then enter(job, state, to, score(state, job)) end
    set_field(id, 'm', encode_state(job))
  end
  if band(job.flags, EXPIRES) > 0 then
    local before, after = expires_now(job, was, job.attempt_was), expires_now(job, state, job.attempt)
    if after and not before then
      put(added, KEY.expiring, whole(job).expires, id)
    elseif before and not after then
      put(removed, KEY.expiring, id)
    end
  end
end

local function make_ready(runtime, queue)
  call('SADD', ready_key(runtime), queue)
  wake('ready')
end
local function flush_touched()
  for key, about in pairs(touched) do
    if about and about.ready then
      make_ready(about.ready.runtime, about.ready.queue)
    elseif about and about.due then
      call('ZADD', KEY.due, 'LT', about.at, about.due)
      -- A sleeping worker must learn of a nearer time.
      if tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) == about.at then wake('ready') end
    elseif about and about.park then
      call('SADD', KEY.parks, about.park)
    elseif about and about.line then
      Line.admit(about.line, about.at)
    end
  end
end

-- `ready` is told when a worker sleeps for want of work or something is left for `promote`, and otherwise at most every 10 ms (for
-- other listeners).
local function tell()
  if topics.ready or topics.left then
    local last, at = call('GET', KEY.idle), server_time()
    if topics.left or not last or last == '' or at - tonumber(last) > 10000 or at < tonumber(last) then
      call('SET', KEY.idle, text(at))
      call('PUBLISH', channel('ready'), '')
    end
  end
  if topics.done then call('PUBLISH', channel('done'), '') end
  if topics.cancel then call('PUBLISH', channel('cancel'), '') end
  if News then News.write() end
end

-- Writes what was gathered: one command for each key.
local function write_lists()
  for key, list in pairs(removed) do
    if #list > 0 then spread('ZREM', key, list) end
  end
  for key, list in pairs(added) do
    if #list > 0 then spread('ZADD', key, list, 2) end
  end
  for key, list in pairs(fields_set) do spread('HSET', key, list, 2) end
  for key, list in pairs(fields_gone) do spread('HDEL', key, list) end
  for state, of in pairs(counted) do
    for queue, n in pairs(of) do
      if n ~= 0 then
        local field = state .. ':' .. queue
        if call('HINCRBY', KEY.counts, field, n) == 0 then call('HDEL', KEY.counts, field) end
      end
    end
  end
  if seq and seq ~= seq_read then call('SET', KEY.seq, text(seq)) end
end

-- Writes everything that the verb changed. Short scripts, which change no job tables, call `write_lists` and `tell` themselves.
local function flush()
  for i = 1, #loaded do
    if loaded[i].dirty then note(loaded[i]) end
  end
  local close_books = booked[1] and keep_books()
  write_lists()
  flush_touched()
  if close_books then close_books() end
  if opened then Line.flush() end
  tell()
end

-- `acts` counts the entries ever written, so an entry's number follows from its place in the list.
local function write_audit(actor, action, target, detail)
  call('LPUSH', KEY.audit, cmsgpack.pack({ now, actor, action, target, detail }))
  call('LTRIM', KEY.audit, 0, 99999)
  call('INCR', KEY.acts)
end

-- Sums of this minute: {field, number, ...}. To read and to write all of them in two commands takes no less time than one for each:
-- most of it goes into finding a field among some hundred packed ones.
local function add_tallies(tallies)
  if #tallies == 0 then return end
  local minute = floor(now / 60000000)
  local key = tally_key(minute)
  for i = 1, #tallies, 2 do call('HINCRBY', key, tallies[i], tallies[i + 1]) end
  call('ZADD', KEY.minutes, minute, text(minute))
end

-- What a call of finish counted goes as it came to the end of the string `spool`, behind its minute and its length: a sum each
-- would be a hundred commands and more a call. Beyond this many bytes it is added up, which takes some 3 ms.
local MOST_SPOOLED = 49152
local function spooled(spool) -- minute -> queue -> kind -> name -> bucket -> number
  local minutes, at = {}, 1
  while at <= #spool do
    local minute, blob, after = parse('>I5I4c0', spool, at)
    local tallies, queues_of = cmsgpack.unpack(blob), list_of(minutes, minute)
    for i = 1, #tallies do
      local queue, kind, name, values = unpack(tallies[i])
      local sums = list_of(list_of(list_of(queues_of, queue), kind), name)
      for bucket, n in pairs(values) do sums[bucket] = (sums[bucket] or 0) + n end
    end
    at = after
  end
  return minutes
end
local function add_up()
  local spool = call('GET', KEY.spool)
  if not spool then return end
  go_on_when_full()
  for minute, queues_of in pairs(spooled(spool)) do
    local key = tally_key(minute)
    for queue, kinds in pairs(queues_of) do
      for kind, names in pairs(kinds) do
        for name, values in pairs(names) do
          local field = sub(cmsgpack.pack({ queue, kind, name, 0 }), 1, -2) -- 0 is one byte, and the bucket stands in its place
          for bucket, n in pairs(values) do call('HINCRBY', key, field .. cmsgpack.pack(bucket), n) end
        end
      end
    end
    call('ZADD', KEY.minutes, minute, text(minute))
  end
  call('UNLINK', KEY.spool)
end
local function spool_tallies(blob)
  if call('APPEND', KEY.spool, pack('>I5I4', floor(now / 60000000), #blob) .. blob) >= MOST_SPOOLED then add_up() end
end
