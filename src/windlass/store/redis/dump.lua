-- What it does: reads whole jobs with all that a move to another engine needs.
-- Input:  ARGV[1] ids (16 bytes each).
-- Output: {id, record, state or '', r, e, t, p, l, order, edges (parent and policy, 17 bytes each), key record or '', steps
--         {position, packed, ...}, signals, ...}.
-- Relies: ends.lua; live jobs, dead letters, and ended jobs that others still wait for.

local ids, out = {}, {}
for at = 1, #ARGV[1], 16 do ids[#ids + 1] = sub(ARGV[1], at, at + 15) end
load(ids)
local extra = {}
for x, suffix in ipairs({ 'r', 'e', 't', 'p', 'l' }) do extra[x] = fetch(ids, suffix) end
for i = 1, #ids do
  local job = jobs[ids[i]]
  if job and (not is_final(job.state) or job.state == FAILED or call('EXISTS', edges_key(job.id)) == 1) then
    with_order(job)
    local edges, unique = {}, job.key and call('HGET', KEY.unique, job.key)
    local parents = job.state == BLOCKED and parents_of(job) or {}
    for p = 1, #parents do
      local parent = parents[p]
      local policy = call('ZSCORE', edges_key(parent), job.id)
      if policy then edges[#edges + 1] = parent .. char(tonumber(policy)) end
    end
    if not unique or sub(unique, 9, 24) ~= job.id and sub(unique, 25) ~= job.id then unique = '' end
    local n = #out
    out[n + 1], out[n + 2], out[n + 3] = job.id, job.c, job.m or ''
    for x = 1, 5 do out[n + 3 + x] = extra[x][i] or '' end
    out[n + 9], out[n + 10], out[n + 11] = job.ord, table.concat(edges), unique
    out[n + 12], out[n + 13] = call('HGETALL', steps_key(job.id)), call('LRANGE', signals_key(job.id), 0, -1)
  end
end
return out
