-- What it does: for check.lua: what remains of deleted jobs against the order in which they went.
-- Input:  every key of the namespace.
-- Output: `check_past(all)`.
-- Relies: remember.lua.

local function check_past(all)
  local last = {}
  for _, entry in ipairs(call('LRANGE', KEY.gone, 0, -1)) do last[sub(entry, 8)] = sub(entry, 1, 7) end
  for key in pairs(all) do
    local kept = rest(key, 'past:') and call('HGETALL', key) or {}
    for i = 1, #kept, 2 do
      if last[kept[i]] ~= sub(kept[i + 1], 1, 7) then say('what remains of %s is not the last of gone', uuid(kept[i])) end
      if past_key(kept[i]) ~= key then say('what remains of %s is in %s', uuid(kept[i]), key) end
      last[kept[i]] = nil
    end
  end
  for id in pairs(last) do say('gone knows %s, of which nothing remains', uuid(id)) end
end
