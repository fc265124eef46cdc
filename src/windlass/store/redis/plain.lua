-- What it does: stores new jobs that have nothing but arguments in the plain lines of their queues; used by insert.lua, which
--              adds all others, and by enqueue_plain.lua.
-- Input:  the lanes, items and specials of a batch, see insert.lua.
-- Output: `open_lanes(lanes)`, `name_queues(lanes)`, `store_batch(lanes, items, specials, other)`.
-- Relies: prelude.lua.

local PER_JOB = 4

-- The lanes of a batch, and whether jobs of one of them go into lines. Nothing is written.
local function open_lanes(lanes)
  local out, any = {}, false
  for l = 1, #lanes do
    local runtime, queue, kind = unpack(lanes[l], 1, 3)
    local settings, global = queue_settings(queue), global_keys()
    local lined = settings.order ~= 's' or global and (global['queue:' .. queue] or global['kind:' .. kind])
    any = any or lined
    out[l] = { runtime = runtime, queue = queue, lined = lined, fair = settings.order == 'f', settings = settings }
  end
  return out, any
end

local function name_queues(lanes)
  for l = 1, #lanes do
    local settings = lanes[l].settings
    if not settings.known then
      call('HSET', KEY.queues, lanes[l].queue, '')
      settings.known = ''
    end
  end
end

local function store_plain(id, record, lane, priority, stamp, home)
  lane.key = lane.key or waiting_key(lane.runtime, lane.queue)
  lane.n = (lane.n or 0) + 1
  put(fields_set, home, id, stamp .. record)
  put(added, lane.key, order(priority), id)
  if News then News.add(WAITING, id) end
end

-- Stores what is not known yet; `other` takes the jobs that have more to them, and answers the holder of their key. Answers
-- {position, holder, ...} and the ids that are new.
local function store_batch(lanes, items, specials, other)
  local ids, answers, opened, fresh = {}, {}, {}, {}
  for i = 1, #items, PER_JOB do ids[#ids + 1] = items[i] end
  local known, stamp = fetch(ids, ''), pack('>I7', now)
  for n = 1, #ids do
    local id, at, special = ids[n], n * PER_JOB - 3, specials[n]
    if not known[n] and not fresh[id] then
      local lane, home, holder = lanes[items[at + 2]], segment(id), nil
      if not special and not lane.lined then
        store_plain(id, items[at + 1], lane, items[at + 3], stamp, home)
      else
        holder = other(id, items[at + 1], special, lane)
      end
      if holder then
        answers[#answers + 1], answers[#answers + 2] = n, holder
      else
        fresh[id], opened[home] = true, id
      end
    end
  end
  open_slots(opened)
  for l = 1, #lanes do
    if lanes[l].n then
      count(lanes[l].queue, WAITING, lanes[l].n)
      touched[lanes[l].key] = { ready = lanes[l] }
    end
  end
  return answers, fresh
end
