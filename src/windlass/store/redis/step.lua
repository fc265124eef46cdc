-- What it does: moves the version of the keys' layout on by one, if that is where it stands.
-- Input:  ARGV[1] the new version, ARGV[2] '1' when it is breaking.
-- Output: 1 | 0: somebody else was here before.
-- Relies: `schema` is `<version> <last breaking version>`; one number stands for both.

local version, breaking = string.match(call('GET', KEY.schema) or '0', '^(%d+) ?(%d*)$')
if tonumber(version) ~= ARGV[1] - 1 then return 0 end
if ARGV[2] == '1' then breaking = ARGV[1] elseif breaking == '' then breaking = version end
call('SET', KEY.schema, ARGV[1] .. ' ' .. breaking)
return 1
