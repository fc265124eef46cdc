-- What it does: stores new jobs; used by enqueue, fire and the follow-up jobs of finish.
-- Input:  a batch {lanes, items, specials}: lanes {runtime, queue, kind}; items id, record, lane, priority per job;
--         specials by
--         position: {delay, run_at, expires_in, expires_at, edges, unique {key, mode, ttl, on conflict, latest}, who, tail,
--         before, bounds, answer}, false where not given.
-- Output: `unknown_parent(batch)`, checked before any write, and `insert(batch)`, which answers {position, holder, ...}.
-- Relies: prelude.lua, ends.lua, plain.lua. Jobs go in the order of the call, so they see each other's unique keys.

local missing_parent, unknown_parent, insert -- what others use; the block keeps the rest below the 200 locals that Lua allows
do

local S_DELAY, S_RUN_AT, S_EXPIRES_IN, S_EXPIRES_AT, S_EDGES, S_UNIQUE, S_WHO, S_TAIL = 1, 2, 3, 4, 5, 6, 7, 8
local S_BEFORE, S_BOUNDS, S_ANSWER = 9, 10, 11
local REPLACE, RERUN = 1, 2 -- what a new job does to the holder of its key, beside nothing

-- The first of the parents that is not stored (a binary id), or nil. A child that is known already needs none: its call is
-- a repeat.
function missing_parent(children, parents)
  local found = fetch(parents, '')
  for i = 1, #parents do
    if not found[i] and not fetch({ children[i] }, '')[1] then return parents[i] end
  end
  return nil
end

-- The first parent that is neither stored nor of this batch, or nil.
function unknown_parent(batch)
  local items, specials = batch[2], batch[3]
  if not next(specials) then return nil end
  local children, parents, here = {}, {}, {}
  for i = 1, #items, PER_JOB do here[items[i]] = true end
  for n, special in pairs(specials) do
    local edges = special[S_EDGES] or ''
    for at = 1, #edges, 17 do
      local parent = sub(edges, at, at + 15)
      if not here[parent] then children[#children + 1], parents[#parents + 1] = items[n * PER_JOB - 3], parent end
    end
  end
  return missing_parent(children, parents)
end

local function can_replace(holder)
  local state = holder.state
  return (state == BLOCKED or state == DELAYED or state == WAITING) and not is_suspended(holder)
end

-- Overwrites what a not yet started holder is asked to do by what the new job asks.
local function replace(holder, fresh, special)
  if not can_replace(holder) then return end
  local state, latest = holder.state, special[S_UNIQUE][5]
  whole(holder)
  local after, bounds, _ = holder.rest, special[S_BOUNDS], nil
  if band(holder.head_flags, WHO) > 0 then _, after = parse('>I4c0', holder.c, holder.rest) end
  local priority, flags, most
  _, priority, flags, most = parse('>I7BBH', fresh)
  local taken = band(flags, RICH + BOUNDS)
  holder.flags = holder.flags - band(holder.flags, RICH + BOUNDS) + taken
  holder.head_flags = holder.head_flags - band(holder.head_flags, RICH + BOUNDS) + taken
  holder.c = pack('>I7BBH', holder.created, priority, holder.head_flags, most) .. sub(holder.c, 12, holder.bounds_at - 1)
    .. (bounds and pack('>I4c0', #bounds, bounds) or '') .. sub(holder.c, holder.rest, after - 1) .. special[S_TAIL]
  holder.bounds, holder.bound = nil, nil
  read_head(holder)
  set_field(holder.id, '', holder.c)
  holder.priority, holder.dirty, holder.moved, holder.reline = priority - 100, true, true, true
  holder.run_at = max(special[S_RUN_AT] or (now + (special[S_DELAY] or 0)), now)
  if latest then holder.run_at = max(min(holder.run_at, holder.created + latest), now) end
  if state == BLOCKED then return end
  if holder.run_at > now then
    holder.state, holder.park = DELAYED, ''
  elseif state == DELAYED then
    to_waiting(holder)
  else
    holder.ord = (100 - holder.priority) * PRIORITY + holder.ord % PRIORITY
  end
end

-- Hangs a new job under its parents; what its ended ones mean for it: {policy, parent} of the first that ended otherwise than
-- in completion, and whether its edges are triggers.
local function hang(job, edges, renamed, fresh)
  local fallen, triggers
  for at = 1, #edges, 17 do
    local id, policy = sub(edges, at, at + 15), byte(edges, at + 16)
    id = renamed[id] or id
    triggers = policy == EDGE_TRIGGER
    local parent = jobs[id] or not fresh[id] and get(id) -- a plain job of this call has no table and is not over
    local over = parent and is_final(parent.state)
    if (parent or fresh[id]) and not (over and parent.state == COMPLETED) then
      if not over or policy == EDGE_HOLD then
        if call('ZADD', edges_key(id), 'NX', policy, job.id) == 1 then job.waits = job.waits + 1 end
      elseif policy ~= EDGE_RUN and not fallen then
        fallen = { policy = policy, parent = parent }
      end
    end
  end
  return fallen, triggers
end

local function settle_new(job, fallen, triggers)
  job.state = BLOCKED
  if fallen and fallen.policy == EDGE_TRIGGER then
    cut_edges(job, false)
    job.waits = 0
  elseif fallen then
    doom(job, fallen.policy, fallen.parent.id, fallen.parent.state)
    return
  elseif triggers and job.waits == 0 then
    end_job(job, CANCELLED, NOT_TRIGGERED, 'doom')
    return
  end
  if job.waits > 0 then
    return
  elseif job.run_at > now then
    job.state = DELAYED
  else
    job.state = WAITING
  end
end

-- Makes stored jobs that are still blocked wait for this one too.
local function put_before(job, before)
  for at = 1, #before, 17 do
    local child, policy = get(sub(before, at, at + 15)), byte(before, at + 16)
    if child and child.state == BLOCKED and not is_suspended(child) and call('ZADD', edges_key(job.id), policy, child.id) == 1 then
      child.waits, child.dirty = child.waits + 1, true
      call('SADD', ahead_key(child.id), job.id)
      if band(child.marks, AHEAD) == 0 then child.marks = child.marks + AHEAD end
    end
  end
end

local function swap_parents(edges, renamed)
  local ids = {}
  for at = 1, #edges, 17 do
    local id = sub(edges, at, at + 15)
    ids[#ids + 1] = renamed[id] or id
  end
  return table.concat(ids)
end

-- What becomes of a new job whose key is held: the id that stands for it, or nil and the holder that it is to follow.
local function meet_holder(holder, follower, record, special)
  local conflict = special[S_UNIQUE][4]
  local job = conflict > 0 and not special[S_ANSWER] and get(holder)
  if not job then return holder end
  if conflict == RERUN and not can_replace(job) then
    if is_final(job.state) then return holder end -- a period may outlast its job
    if #follower == 0 or not get(follower) then return nil, holder end
    holder, job = follower, get(follower)
  end
  replace(with_order(job), '\0\0\0\0\0\0\0' .. record, special)
  return holder
end

-- A job with more to it than its arguments. Answers the holder's id when its key is taken.
local function insert_special(id, record, special, renamed)
  local unique, ahead, bounds = special[S_UNIQUE], nil, special[S_BOUNDS]
  if unique then
    local holder, follower = holder_of(unique[1])
    if holder then
      holder, ahead = meet_holder(holder, follower, record, special)
      if holder then
        renamed[id] = holder
        return holder
      end
    end
  end
  local expires = special[S_EXPIRES_AT] or (special[S_EXPIRES_IN] and now + special[S_EXPIRES_IN])
  local edges = special[S_EDGES]
  local parents = edges and swap_parents(edges, renamed)
  local c = pack('>I7', now) .. record
    .. (expires and pack('>I7', expires) or '')
    .. (edges and pack('>I4c0', #parents, parents) or '')
    .. (unique and pack('>BHc0', unique[2], #unique[1], unique[1]) or '')
    .. (bounds and pack('>I4c0', #bounds, bounds) or '')
    .. special[S_WHO] .. special[S_TAIL]
  local _, _, flags = parse('>I7BB', c)
  local job = open_job(id, c, nil)
  job.flags, job.dirty, job.born, job.moved = flags, true, true, true
  job.run_at = max(special[S_RUN_AT] or (now + (special[S_DELAY] or 0)), now)
  set_field(id, '', c)
  if unique then
    job.ttl = unique[3] or 0
    if ahead then follow(job, ahead) else take_key(job) end
  end
  if special[S_ANSWER] then
    set_field(id, 'r', special[S_ANSWER])
    job.run_at = now
    end_job(job, COMPLETED, '')
  end
  return nil, job
end

-- A job that needs a table: it has more to it, or its queue or kind puts it into a line. Answers the holder of its key.
local function insert_other(id, record, special, lane, renamed, hanging)
  local holder, job
  local bounds = special and special[S_BOUNDS] and cmsgpack.unpack(special[S_BOUNDS]) or {}
  for i = 2, #bounds, 6 do
    Limit.define(bounds[i], bounds[i + 2], bounds[i + 3], bounds[i + 4], bounds[i + 5], true)
  end
  if special then
    holder, job = insert_special(id, record, special, renamed)
  else
    job = open_job(id, pack('>I7', now) .. record, nil)
    job.dirty, job.born, job.moved = true, true, true
    set_field(id, '', job.c)
  end
  if job and job.state == WAITING then job.ord = order(job.priority) end
  if job and lane.fair then Line.weigh(job) end
  if job and special and job.state == WAITING then
    hanging[#hanging + 1] = { job, special[S_EDGES] or '', special[S_BEFORE] }
  end
  return holder
end

function insert(batch)
  local lanes, renamed, hanging = open_lanes(batch[1]), {}, {}
  name_queues(lanes)
  local answers, fresh = store_batch(lanes, batch[2], batch[3], function(id, record, special, lane)
    return insert_other(id, record, special, lane, renamed, hanging)
  end)
  for h = 1, #hanging do settle_new(hanging[h][1], hang(hanging[h][1], hanging[h][2], renamed, fresh)) end
  for h = 1, #hanging do
    if hanging[h][3] then put_before(hanging[h][1], hanging[h][3]) end
  end
  return answers
end

end
