-- What it does: stores jobs as they were dumped from another engine.
-- Input:  ARGV[1] {{id, record, state, {suffix, text, ...}, edges, key mode or false, period left}, ...}.
-- Output: how many were new.
-- Relies: ends.lua; a known id is left alone. The sequence moves past every order it is given.

local rows, ids, new, opened = cmsgpack.unpack(ARGV[1]), {}, 0, {}
for i = 1, #rows do ids[i] = rows[i][1] end
local known = fetch(ids, '')
for i = 1, #rows do
  local id, c, m, texts, edges, mode, left = unpack(rows[i], 1, 7)
  if not known[i] and not jobs[id] then
    local job = open_job(id, c, m)
    job.born, job.dirty, job.moved = true, true, true
    set_field(id, '', c)
    for t = 1, #texts, 2 do set_field(id, texts[t], texts[t + 1]) end
    for at = 1, #edges, 17 do
      call('ZADD', edges_key(sub(edges, at, at + 15)), byte(edges, at + 16), id)
    end
    if mode and not call('HGET', KEY.unique, job.key) then
      job.ttl = left
      take_key(job)
    end
    call('HSETNX', KEY.queues, job.queue, '')
    opened[segment(id)] = id
    next_seq()
    seq = max(seq - 1, job.ord % PRIORITY)
    new = new + 1
  end
end
open_slots(opened)
flush()
return new
