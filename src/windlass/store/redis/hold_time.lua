-- What it does: tests only: makes the clock stand, or run again.
-- Input:  ARGV[1] instant, or ''.
-- Output: the store's clock.
-- Relies: prelude.lua.

if ARGV[1] == '' then
  call('DEL', KEY.clock)
  return server_time()
end
call('SET', KEY.clock, ARGV[1])
return tonumber(ARGV[1])
