-- What it does: keeps progress and log lines of running attempts.
-- Input:  ARGV[1] {id, lease, line or false, progress or false, ...}; a line is {age, attempt, level, text}, progress is text.
-- Output: number of notes kept; those under a stale lease are dropped.
-- Relies: prelude.lua; the newest 1,000 lines of a job are kept.

local notes = cmsgpack.unpack(ARGV[1])
local ids, kept, logs = {}, 0, {}
for at = 1, #notes, 4 do ids[#ids + 1] = notes[at] end
local states = fetch(ids, 'm')
for i = 1, #ids do
  local at, state, lease, _ = i * 4 - 3, nil, nil, nil
  if states[i] then state, _, _, lease = parse('>BBBI7', states[i]) end
  if state == ACTIVE and lease == notes[at + 1] then
    kept = kept + 1
    local line, progress = notes[at + 2], notes[at + 3]
    if progress then set_field(ids[i], 'p', progress) end
    if line then put(logs, log_key(ids[i]), cmsgpack.pack({ now - line[1], line[2], line[3], line[4] })) end
  end
end
for key, lines in pairs(logs) do
  spread('RPUSH', key, lines)
  call('LTRIM', key, -1000, -1)
end
flush()
return kept
