-- What it does: the ids of all jobs in some states of some queues, or if there are many the sets that they stand in.
-- Input:  ARGV[1] {states, queues (empty for all), most}.
-- Output: the ids as one string (parked ones, and running ones of all queues, included); the keys of the sets when there are more
--         than `most` ids; 0 when there are very many sets (lines).
-- Relies: prelude.lua.

local states, queues, most = unpack(cmsgpack.unpack(ARGV[1]), 1, 3)
if #queues == 0 then queues = call('HKEYS', KEY.queues) end
local total, keys, out = 0, {}, {}
for _, state in ipairs(states) do
  for q = 1, #queues do
    local n = tonumber(call('HGET', KEY.counts, state .. ':' .. queues[q]) or '0')
    total = total + n
    if n > 0 and state == WAITING then
      for runtime = 0, 2 do keys[#keys + 1] = waiting_key(runtime, queues[q]) end
    elseif n > 0 and state ~= ACTIVE then
      keys[#keys + 1] = place(state, { queue = queues[q] })
      if state == BLOCKED then keys[#keys + 1] = due_key(due_member(state, queues[q])) end
    end
  end
  if state == ACTIVE then keys[#keys + 1] = KEY.leased end
  if state == WAITING then
    for _, park in ipairs(call('SMEMBERS', KEY.parks)) do keys[#keys + 1] = park_key(park) end
    if call('HLEN', KEY.lines) > 4 * most then return 0 end
    local wanted = {}
    for q = 1, #queues do wanted[queues[q]] = true end
    for _, line in ipairs(call('HKEYS', KEY.lines)) do
      if wanted[cmsgpack.unpack(line)[2]] then keys[#keys + 1] = KEY.line_ .. line end
    end
  end
end
if total > most then return keys end
for i = 1, #keys do
  local ids = call('ZRANGE', keys[i], 0, 2 * most)
  for n = 1, #ids do out[#out + 1] = ids[n] end
end
return table.concat(out)
