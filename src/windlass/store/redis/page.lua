-- What it does: one bounded step through all jobs in the order of their ids: the ids of one segment.
-- Input:  ARGV[1] '1' newest first, '0' oldest first, ARGV[2] segment (10 hex digits) to begin after, or ''.
-- Output: {segment or '', ids as one string}; '' when there is none left.
-- Relies: prelude.lua; `windows` lists the 65 second windows (8 hex digits) that may hold segments.

local down, start = ARGV[1] == '1', ARGV[2]
local step, window = down and -1 or 1, start ~= '' and sub(start, 1, 8) or nil
local quarter = start ~= '' and tonumber(sub(start, 9), 16) + step or (down and 255 or 0)

local function next_window(after)
  local number = after and text(tonumber(after, 16))
  if down then return call('ZREVRANGEBYSCORE', KEY.windows, number and '(' .. number or '+inf', '-inf', 'LIMIT', 0, 1)[1] end
  return call('ZRANGEBYSCORE', KEY.windows, number and '(' .. number or '-inf', '+inf', 'LIMIT', 0, 1)[1]
end

for _ = 1, 64 do
  if not window then
    window = next_window(nil)
    if not window then return { '', '' } end
  end
  while quarter >= 0 and quarter <= 255 do
    local segment_name = window .. format('%02x', quarter)
    local key = P .. 'job:' .. segment_name
    if call('EXISTS', key) == 1 then
      local fields, ids = call('HKEYS', key), {}
      for i = 1, #fields do
        if #fields[i] == 16 then ids[#ids + 1] = fields[i] end
      end
      return { segment_name, table.concat(ids) }
    end
    quarter = quarter + step
  end
  local after = next_window(window)
  if not after then return { '', '' } end
  window, quarter = after, down and 255 or 0
end
return { window .. format('%02x', down and 255 or 0), '' } -- many empty windows: the caller goes on from here
