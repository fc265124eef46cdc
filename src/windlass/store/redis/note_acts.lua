-- What it does: writes audit entries of acts that no other verb writes.
-- Input:  ARGV[1] {{actor, action, target, detail}, ...}.
-- Output: 1.
-- Relies: prelude.lua.

for _, act in ipairs(cmsgpack.unpack(ARGV[1])) do write_audit(unpack(act, 1, 4)) end
return 1
