-- What it does: brings back what a parent's end had ended, each waiting again for its parents; used by command and promote.
-- Input:  requeued jobs of the unit of work.
-- Output: `requeue`, `wait_again` and `spread_revival`.
-- Relies: ends.lua: `cut:<id>` keeps the edges that a job lost when it ended blocked, `doomed:<id>` whom a job's end took along.

local revival_budget = INLINE_EDGES

-- The holder of the job's unique key if that is another job, else nil and the job waits as new.
local function requeue(job, keep_attempts, scheduled)
  if band(job.flags, UNIQUE) > 0 then
    whole(job)
    local holder = holder_of(job.key)
    if holder and holder ~= job.id then return holder end
    if job.mode == FINISHED_MODE then take_key(job) end
  end
  if not keep_attempts then
    job.attempt = 0
    drop_steps(job.id)
  end
  if whole(job).expires and job.expires <= now then job.flags = job.flags - EXPIRES end
  job.rescues, job.reason, job.worker, job.marks, job.started, job.finished = 0, '', '', 0, 0, 0
  job.books = { print = '', retry = 0, again = scheduled, revivals = not scheduled and 0 or nil }
  job.run_at = now
  to_waiting(job)
  for _, suffix in ipairs({ 'r', 'e', 'p' }) do drop_field(job.id, suffix) end
end

-- Restores the edges that a requeued job lost; a parent that has ended badly and is not requeued holds it.
local function wait_again(job)
  local edges, own = call('ZRANGE', cut_key(job.id), 0, -1, 'WITHSCORES'), {}
  if #edges == 0 then return end
  for _, parent in ipairs(parents_of(job)) do own[parent] = true end
  for i = 1, #edges, 2 do
    local parent = get(edges[i])
    if parent and parent.state ~= COMPLETED then
      local policy = is_final(parent.state) and EDGE_HOLD or edges[i + 1]
      if call('ZADD', edges_key(parent.id), policy, job.id) == 1 then job.waits = job.waits + 1 end
      if not own[parent.id] then
        call('SADD', ahead_key(job.id), parent.id)
        if band(job.marks, AHEAD) == 0 then job.marks = job.marks + AHEAD end
      end
    end
  end
  call('UNLINK', cut_key(job.id))
  if job.waits > 0 then job.state, job.moved = BLOCKED, true end
end

-- One level: those that this parent's end took along and that are still as it left them.
local function revive_children(parent)
  local key, revived = doomed_key(parent), {}
  local ids = revival_budget > 0 and call('SRANDMEMBER', key, revival_budget) or {}
  revival_budget = revival_budget - #ids
  load(ids)
  local words = 'parent ' .. uuid(parent) .. ' '
  for i = 1, #ids do
    local job = jobs[ids[i]]
    call('SREM', key, ids[i])
    if job and (job.state == FAILED or job.state == CANCELLED) and sub(job.reason, 1, #words) == words
      and not requeue(job, false) then
      revived[#revived + 1] = job
    end
  end
  if call('EXISTS', key) == 1 then call('HSET', KEY.reviving, parent, '') end
  for i = 1, #revived do wait_again(revived[i]) end
  return revived
end

-- Down the subtree, level by level, within the budget; the rest waits in `reviving`.
local function spread_revival(list)
  local at = 1
  while at <= #list do
    local revived = revive_children(list[at].id)
    for i = 1, #revived do list[#list + 1] = revived[i] end
    at = at + 1
  end
end
