-- What it does: keeps progress, log lines and steps of running attempts.
-- Input:  ARGV[1] {id, lease, line or false, progress or false, step or false, ...}; a line is {age, attempt, level, text},
--         progress is text, a step {position, name, value or false, done, signal or false}.
-- Output: for each note false: its lease is stale and nothing was written; else '' or the data of the signal it took, with a '+' before it.
-- Relies: prelude.lua; the newest 1,000 lines of a job are kept.

local WIDE = 5
local notes = cmsgpack.unpack(ARGV[1])
local ids, out, logs, told = {}, {}, {}, {}
for at = 1, #notes, WIDE do ids[#ids + 1] = notes[at] end

-- The oldest kept signal of the name, taken out of the job's box.
local function take_signal(id, name)
  for _, kept in ipairs(call('LRANGE', signals_key(id), 0, -1)) do
    local signal = cmsgpack.unpack(kept)
    if signal[1] == name then
      call('LREM', signals_key(id), 1, kept)
      return signal[2]
    end
  end
end

-- What is done stays so: a note of the same name that is not done, or asks for a signal, is a repeat and hears the value on record.
local function on_record(id, position, name)
  local kept = call('HGET', steps_key(id), position)
  if not kept then return end
  local step = cmsgpack.unpack(kept)
  if step[1] == name and step[3] then return step end
end

local function keep_step(id, m, step)
  local position, name, value, done, signal = unpack(step, 1, 5)
  local known = (signal or not done) and on_record(id, position, name)
  if known then return signal and known[2] and '+' .. known[2] or '' end
  local taken = signal and take_signal(id, signal)
  if taken then value, done = taken, true end
  call('HSET', steps_key(id), position, cmsgpack.pack({ name, value, done, now, parse('>H', m, 46) + 1 }))
  return taken and '+' .. taken or ''
end

local states = fetch(ids, 'm')
for i = 1, #ids do
  local at, state, lease, _ = i * WIDE - WIDE, nil, nil, nil
  if states[i] then state, _, _, lease = parse('>BBBI7', states[i]) end
  out[i] = false
  if state == ACTIVE and lease == notes[at + 2] then
    local line, progress, step = unpack(notes, at + 3, at + 5)
    out[i] = ''
    if progress then
      set_field(ids[i], 'p', progress)
      if News and not told[ids[i]] then News.add('progress', ids[i]) end
      told[ids[i]] = true
    end
    if line then put(logs, log_key(ids[i]), cmsgpack.pack({ now - line[1], line[2], line[3], line[4] })) end
    if step then out[i] = keep_step(ids[i], states[i], step) end
  end
end
for key, lines in pairs(logs) do
  spread('RPUSH', key, lines)
  call('LTRIM', key, -1000, -1)
end
flush()
return out
