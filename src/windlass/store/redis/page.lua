-- What it does: one bounded step through all jobs in the order of their ids: the ids of one segment.
-- Input:  ARGV[1] '1' newest first, '0' oldest first, ARGV[2] segment (11 hex digits) to go on from, or '', ARGV[3] '1' with
--         that segment, '0' behind it, ARGV[4] '' or the cursor of the step before, to read more of the same segment.
-- Output: {segment or '', ids as one string, cursor or ''}; no segment when there is none left, no cursor when it is whole.
-- Relies: prelude.lua; `windows` lists the windows that have jobs, `slots:<window>` has a bit for each of its segments.

local down, start = ARGV[1] == '1', ARGV[2]
local step, first = 1, 0
if down then step, first = -1, 1023 end

local function next_window(after)
  local number = after and '(' .. text(tonumber(after, 16))
  if down then return call('ZREVRANGEBYSCORE', KEY.windows, number or '+inf', '-inf', 'LIMIT', 0, 1)[1] end
  return call('ZRANGEBYSCORE', KEY.windows, number or '-inf', '+inf', 'LIMIT', 0, 1)[1]
end

-- A segment of thousands (a burst) is read in steps, so that no call takes long; it may then name an id twice.
local AT_ONCE = 4000
local function ids_of(key, cursor)
  local fields, ids, step_by, after = nil, {}, 1, ''
  if cursor == '' and call('HLEN', key) <= AT_ONCE then
    fields = call('HKEYS', key)
  else
    local reply = call('HSCAN', key, cursor == '' and '0' or cursor, 'COUNT', AT_ONCE / 2)
    after, fields, step_by = reply[1] ~= '0' and reply[1] or '', reply[2], 2
  end
  for i = 1, #fields, step_by do
    if #fields[i] == 16 then ids[#ids + 1] = fields[i] end
  end
  return table.concat(ids), after
end

if ARGV[4] ~= '' then return { start, ids_of(P .. 'job:' .. start, ARGV[4]) } end
local window, slot
if start == '' then
  window, slot = next_window(nil), first
else
  window, slot = sub(start, 1, 8), tonumber(sub(start, 9), 16) + (ARGV[3] == '1' and 0 or step)
end
while window do
  local bits = call('GET', slots_key(window)) or ''
  while slot >= 0 and slot <= 1023 do
    local bits_here = byte(bits, floor(slot / 8) + 1) or 0
    if band(bits_here, 2 ^ (7 - slot % 8)) > 0 then
      local name = window .. format('%03x', slot)
      return { name, ids_of(P .. 'job:' .. name, '') }
    end
    slot = slot + step
  end
  window, slot = next_window(window), first
end
return { '', '', '' }
