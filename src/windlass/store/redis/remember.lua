-- What it does: keeps what remains of jobs that retention deletes, for as long and as many as it says; used by prune.lua.
-- Input:  jobs of the unit of work.
-- Output: `remember(going)`, `forget_past(most, age, keep)`: whether it dropped as many as it might.
-- Relies: prelude.lua. `past:<digit>` has the last of each id, `gone` one entry for each time that one went, {instant, id}: an entry
--         whose instant is not that of the record is of an id that came again, and its record stays.

local past_keys = {}
local function past_key(id)
  local digit = byte(id, 16) % 16
  past_keys[digit] = past_keys[digit] or P .. 'past:' .. format('%x', digit)
  return past_keys[digit]
end

local sizes = {}
local function size_of(n)
  sizes[n] = sizes[n] or pack('>I3', n)
  return sizes[n]
end

-- Whether a rich payload ends without tags: in one of the bytes for none (payload.py), and not as a text ends. In UTF-8 such a byte
-- never follows one below 128, as the end of arguments and options or the length of none is; behind an empty text's header it is the
-- one before that tells.
local function has_no_tags(c)
  local third, second, last = byte(c, -3, -1)
  return (last == 128 or last == 144 or last == 160) and (second < 128 or second == 160 and third < 128)
end

-- What is kept of the immutable record, without arguments, options, parents and bounds: its flags, the names of queue and kind with what
-- is before them, and what follows; tags stand in a payload of which all else is left out.
local SEVERAL = UNIQUE + EXPIRES + CHILD + WHO + BOUNDS
local function reduced(job)
  local c, flags, at = job.c, job.head_flags, 14 + #job.queue + #job.kind
  local kept, middle, payload = band(flags, 3 + UNIQUE + EXPIRES + WHO), '', job.rest
  if band(flags, SEVERAL) > 0 then
    if band(flags, EXPIRES) > 0 then middle, at = sub(c, at, at + 6), at + 7 end
    if band(flags, CHILD) > 0 then at = at + 4 + #job.parents end
    middle = middle .. sub(c, at, job.bounds_at - 1)
    if band(flags, WHO) > 0 then
      payload = job.rest + 4 + parse('>I4', c, job.rest)
      middle = middle .. sub(c, job.rest, payload - 1)
    end
  end
  if band(flags, RICH) > 0 and not has_no_tags(c) then
    kept, middle = kept + RICH, middle .. cmsgpack.pack({ '', '', cmsgpack.unpack(sub(c, payload))[3] })
  end
  return char(kept), sub(c, 10, 13 + #job.queue + #job.kind), middle
end

-- Error, trail, percent and ledger of each, packed; the short text that says that there is nothing of them is nearly always right.
local NONE, WITHOUT = string.rep('\0', 12), { '', 'm', 'r' }
local function texts_of(ids)
  local groups, out = grouped(ids), {}
  for g = 1, #groups do
    local fields, of, at = {}, groups[g].ids, groups[g].at
    for i = 1, #of do
      local id, f = of[i], 4 * i - 4
      fields[f + 1], fields[f + 2], fields[f + 3], fields[f + 4] = id .. 'e', id .. 't', id .. 'p', id .. 'l'
    end
    local found = call('HMGET', groups[g].key, unpack(fields))
    for i = 1, #of do
      local e, t, p, l = found[4 * i - 3], found[4 * i - 2], found[4 * i - 1], found[4 * i]
      if e or t or p or l then
        e, t, l, p = e or '', t or '', l or '', p and cmsgpack.pack({ cmsgpack.unpack(p)[1], '' }) or ''
        out[at[i]] = pack('>I3c0I3c0I3c0I3c0', #e, e, #t, t, #p, p, #l, l)
      else
        out[at[i]] = NONE
        jobs[of[i]].suffixes = WITHOUT
      end
    end
  end
  return out
end

local function remember(going)
  local ids, known, entries, homes, stamp = {}, {}, {}, {}, pack('>I7', now)
  for i = 1, #going do
    if going[i].queue ~= '{house}' then ids[#ids + 1], known[#known + 1] = going[i].id, going[i] end
  end
  local texts = texts_of(ids)
  for i = 1, #ids do
    local id, job = ids[i], known[i]
    local m, home = job.m or encode_state(job), list_of(homes, past_key(id))
    local n, flags, names, rest = #home, reduced(job)
    -- Lua keeps every string once and hashes a long one by its last byte and a few others: without one that differs from job to
    -- job, hundreds would stand in one chain.
    home[n + 1], home[n + 2] = id, stamp .. size_of(9 + #names + #rest) .. sub(job.c, 1, 8) .. flags .. names .. rest
      .. size_of(#m) .. m .. texts[i] .. sub(id, 16)
    entries[i] = stamp .. id
  end
  for key, home in pairs(homes) do spread('HSET', key, home, 2) end
  if #entries > 0 then spread('RPUSH', KEY.gone, entries) end
end

-- The oldest entries that are too old or too many, at most so many.
local function too_many(most, age, keep)
  local n, all = 0, call('LLEN', KEY.gone)
  local surplus, old = keep and all - keep or 0, {}
  while n < min(most, all) do
    local page = call('LRANGE', KEY.gone, n, min(n + 100, most) - 1)
    for i = 1, #page do
      if n >= surplus and not (age and parse('>I7', page[i]) <= now - age) then return old end
      n = n + 1
      old[n] = page[i]
    end
  end
  return old
end

local function forget_past(most, age, keep)
  local old, homes, stamps = too_many(most, age, keep), {}, {}
  for i = 1, #old do
    local id = sub(old[i], 8)
    put(homes, past_key(id), id)
    stamps[id] = sub(old[i], 1, 7)
  end
  for key, ids in pairs(homes) do
    local kept, gone = call('HMGET', key, unpack(ids)), {}
    for i = 1, #ids do
      if kept[i] and sub(kept[i], 1, 7) == stamps[ids[i]] then gone[#gone + 1] = ids[i] end
    end
    if #gone > 0 then call('HDEL', key, unpack(gone)) end
  end
  if #old > 0 then call('LTRIM', KEY.gone, #old, -1) end
  return #old == most
end
