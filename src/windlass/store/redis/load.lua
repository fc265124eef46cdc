-- What it does: stores jobs as they were dumped from another engine.
-- Input:  ARGV[1] {{id, record, state, {suffix, text, ...}, edges, holds its key, period from its creation, steps {position,
--         packed, ...}, signals (packed), {cost, revivals, next retry or 0, fingerprint} or false}, ...}.
-- Output: how many were new.
-- Relies: ends.lua; a known id is left alone. The sequence moves past every order it is given.

local rows, ids, new, opened, waited = cmsgpack.unpack(ARGV[1]), {}, 0, {}, {}
for i = 1, #rows do ids[i] = rows[i][1] end
local known = fetch(ids, '')
for i = 1, #rows do
  local id, c, m, texts, edges, holds, period, steps, signals, ledger = unpack(rows[i], 1, 10)
  if not known[i] and not jobs[id] then
    local job = open_job(id, c, m)
    job.born, job.dirty, job.moved, job.quiet = true, true, true, true
    if ledger then job.books = { spent = ledger[1], revivals = ledger[2], retry = ledger[3], print = ledger[4] } end
    set_field(id, '', c)
    for t = 1, #texts, 2 do set_field(id, texts[t], texts[t + 1]) end
    local own = {}
    for at = 1, #(job.parents or ''), 16 do own[sub(job.parents, at, at + 15)] = true end
    for at = 1, #edges, 17 do
      local parent = sub(edges, at, at + 15)
      call('ZADD', edges_key(parent), byte(edges, at + 16), id)
      waited[parent] = true
      if not own[parent] then
        call('SADD', ahead_key(id), parent)
        if band(job.marks, AHEAD) == 0 then job.marks = job.marks + AHEAD end
      end
    end
    waited[id] = true
    local taken = holds and call('HGET', KEY.unique, job.key)
    if holds and not taken then
      job.ttl = job.created + period - now
      take_key(job)
    elseif taken and #taken == 24 and job.state == BLOCKED then
      call('HSET', KEY.unique, job.key, taken .. id) -- it follows the holder
    end
    if #steps > 0 then spread('HSET', steps_key(id), steps, 2) end
    if #signals > 0 then call('RPUSH', signals_key(id), unpack(signals)) end
    call('HSETNX', KEY.queues, job.queue, '')
    if queue_settings(job.queue).order == 'f' then Line.weigh(job) end
    opened[segment(id)] = id
    next_seq()
    seq = max(seq - 1, job.ord % PRIORITY)
    new = new + 1
  end
end
-- A parent that had ended before its edges were all settled.
for id in pairs(waited) do
  local job = get(id)
  if job and is_final(job.state) and call('EXISTS', edges_key(id)) == 1 then call('HSET', KEY.settle, id, job.state) end
end
open_slots(opened)
flush()
return new
