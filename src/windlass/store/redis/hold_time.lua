-- What it does: tests only: makes the clock stand, or run again.
-- Input:  ARGV[1] instant, or ''.
-- Output: the store's clock.
-- Relies: prelude.lua.

put_clock(ARGV[1], till and till ~= '' and till .. ' ' .. trimmed or '')
return tonumber(ARGV[1]) or server_time()
