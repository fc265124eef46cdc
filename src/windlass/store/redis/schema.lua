-- What it does: finds the version of the keys' layout; an empty namespace takes this one.
-- Input:  ARGV[1] version this code writes, ARGV[2] '1' to take it (migrate), '0' to look.
-- Output: {version found, the one this call wrote or 0}.
-- Relies: prelude.lua. Version 1 is the first; later ones put their steps here.

local found = tonumber(call('GET', KEY.schema) or '0')
if found == 0 and ARGV[2] == '1' then
  call('SET', KEY.schema, ARGV[1])
  return { tonumber(ARGV[1]), tonumber(ARGV[1]) }
end
return { found, 0 }
