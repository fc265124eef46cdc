-- What it does: leases one job to the worker of a claim; used by turns.lua and claim.lua.
-- Input:  ARGV[1] {worker, session, number, lease, slots {async, thread, process}, queues or false, most, idle {...} or false}.
-- Output: `lease_to(job)`, `lease_fresh(id, record, order, line)` after `prepare()`; `rows`, `token`, `rated`.
-- Relies: prelude.lua, ends.lua.

local worker, session, number, lease_for, slots, asked, room, idle = unpack(cmsgpack.unpack(ARGV[1]), 1, 8)
local expiry = now + lease_for
local rows, token, rated = {}, nil, {} -- `rated`: jobs that spent a rate
-- Whether there are lines or keys to look at; turns.lua is only there if so.
local stirred = call('EXISTS', KEY.timers, KEY.awake, KEY.lined_ .. 0, KEY.lined_ .. 1, KEY.lined_ .. 2) > 0
local Turns = { bounded = false }
local PLAIN = 255 - EXPIRES - UNIQUE

local function row(id, c, m, ord)
  local n = #rows
  rows[n + 1], rows[n + 2], rows[n + 3], rows[n + 4] = id, c, m or '', ord
end

local function lease_to(job)
  job.state, job.worker, job.lease, job.started, job.until_at = ACTIVE, worker, token, now, expiry
  job.moved, job.dirty = true, true
  if job.mode == STARTED_MODE then free_key(job) end
  row(job.id, job.c, job.m, job.ord)
end

-- The common case without a job table: a job that nothing has happened to yet. Its new state is the same bytes for all
-- jobs of the claim, but for its flags, order and time of creation (the first 7 bytes of the record).
local fresh_heads, fresh_tail, leased, expiry_text, token_bytes, now_bytes, worker_bytes
local function prepare()
  token, expiry_text, leased, fresh_heads = new_lease(), text(expiry), list_of(added, KEY.leased), {}
  token_bytes, now_bytes, worker_bytes = pack('>I7', token), pack('>I7', now), pack('>Hc0HH', #worker, worker, 0, 0)
  fresh_tail = pack('>I7I7HHI3Hc0HH', now, 0, 0, 0, 0, #worker, worker, 0, 0)
end
-- The same for a job that was blocked or delayed before: a record of plain length without marks keeps most of its bytes; the
-- offsets are those of STATE in prelude.lua.
local PLAIN_LENGTH = 58
local function is_simple(m) return #m == PLAIN_LENGTH and byte(m, 3) == 0 and band(byte(m, 2), PLAIN) == byte(m, 2) end
local function lease_simple(id, c, m, ord, line)
  local fields, n, l = list_of(fields_set, segment(id)), #line.gone, #leased
  line.gone[n + 1] = id
  leased[l + 1], leased[l + 2] = expiry_text, id
  n = #fields
  fields[n + 1] = id .. 'm'
  fields[n + 2] = char(ACTIVE, byte(m, 2), 0) .. token_bytes .. sub(m, 11, 31) .. now_bytes .. sub(m, 39, 52) .. worker_bytes
  line.fresh = line.fresh + 1
  if News then News.add(ACTIVE, id) end
  row(id, c, m, ord)
end
local function lease_fresh(id, c, ord, line)
  local flags = byte(c, 9)
  local head = fresh_heads[flags]
  if not head then
    head = pack('>BBBI7I7', ACTIVE, flags, 0, token, 0)
    fresh_heads[flags] = head
  end
  local fields, n, m = list_of(fields_set, segment(id)), #line.gone, #leased
  line.gone[n + 1] = id
  leased[m + 1], leased[m + 2] = expiry_text, id
  n = #fields
  fields[n + 1], fields[n + 2] = id .. 'm', head .. pack('>I7', ord) .. sub(c, 1, 7) .. fresh_tail
  line.fresh = line.fresh + 1
  if News then News.add(ACTIVE, id) end
  row(id, c, nil, ord)
end
