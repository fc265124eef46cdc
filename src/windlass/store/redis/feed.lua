-- What it does: news behind a cursor; keeps the journal awake.
-- Input:  ARGV[1] cursor, or '' for the end, ARGV[2] most entries.
-- Output: {cursor, 1 when what followed the cursor is not known else 0, {event, value, ...}}.
-- Relies: prelude.lua tells the layout. A cursor is the id of an entry and good while that is there; the first entry is put here and says
--         nothing, so that there always is one to stand on.

local LIFE, OFTEN = 300000000, 60000000

local function stay_awake(trimmed) put_clock(held or '', text(now + LIFE) .. ' ' .. trimmed) end

if not News or call('EXISTS', KEY.news) == 0 then
  call('UNLINK', KEY.news)
  stay_awake(text(now))
  return { call('XADD', KEY.news, '*', '', pack('>I7I4', now, 0)), 1, {} }
end
if math.abs(now + LIFE - till) >= OFTEN then stay_awake(trimmed) end
local cursor, reset = ARGV[1], 0
if cursor ~= '' and #call('XRANGE', KEY.news, cursor, cursor) == 0 then cursor, reset = '', 1 end
if cursor == '' then return { call('XREVRANGE', KEY.news, '+', '-', 'COUNT', 1)[1][1], reset, {} } end
local out = {}
for _, entry in ipairs(call('XRANGE', KEY.news, '(' .. cursor, '+', 'COUNT', ARGV[2])) do
  cursor = entry[1]
  out[#out + 1], out[#out + 2] = entry[2][1], entry[2][2]
end
return { cursor, reset, out }
