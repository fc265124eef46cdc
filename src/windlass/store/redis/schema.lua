-- What it does: finds the version of the keys' layout.
-- Input:  none.
-- Output: {version found, the last breaking version}; zeros for an empty namespace.
-- Relies: step.lua.

local version, breaking = string.match(call('GET', KEY.schema) or '0', '^(%d+) ?(%d*)$')
return { tonumber(version), tonumber(breaking) or tonumber(version) }
