-- What it does: goes on with the edges of ended parents that their ends have left over.
-- Input:  ARGV[1] limit.
-- Output: 1 when there are more.
-- Relies: ends.lua. `promote` does the same for whom nobody else does.

go_on_when_full()
settle_left(tonumber(ARGV[1]))
settle_ended()
flush()
return call('EXISTS', KEY.settle)
