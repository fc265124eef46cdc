-- What it does: the store's clock.
-- Input:  none.
-- Output: microseconds since 1970.
-- Relies: prelude.lua.

return now
