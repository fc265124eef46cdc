-- What it does: how a job leaves: unique keys freed, its own edges removed, those that wait for it released or doomed.
-- Input:  jobs of the unit of work (prelude.lua).
-- Output: `end_job`, `settle_ended`, `forget`, and the functions they need.
-- Relies: an edge is deleted before anything is counted down, so nothing counts twice; at most 256 edges a call inline.

local NOT_TRIGGERED = '{not_triggered}'
local FINISHED_MODE, STARTED_MODE, PERIOD_MODE = 0, 1, 2
local EDGE_CANCEL, EDGE_RUN, EDGE_FAIL, EDGE_TRIGGER, EDGE_HOLD = 1, 2, 3, 4, 5
local INLINE_EDGES = 256
local ended, budget = {}, INLINE_EDGES

-- unique: <key> -> mode, until, holder, follower (the one job that takes the key when the holder leaves it, or nothing)
local function holder_of(key)
  local packed = call('HGET', KEY.unique, key)
  if not packed then return nil end
  local mode, till = parse('>BI7', packed)
  local holder = sub(packed, 9, 24)
  if mode == PERIOD_MODE then
    if till <= now then return nil end
  elseif not get(holder) then
    return nil -- the holder's record was lost (FLUSHALL of a part, eviction): the key heals by itself
  end
  return holder, sub(packed, 25)
end
local function take_key(job)
  local till = job.mode == PERIOD_MODE and now + job.ttl or 0
  call('HSET', KEY.unique, job.key, pack('>BI7', job.mode, till) .. job.id)
  if till > 0 then call('ZADD', KEY.periods, till, job.key) end
end
local function follow(job, holder)
  local packed = call('HGET', KEY.unique, job.key)
  call('HSET', KEY.unique, job.key, sub(packed, 1, 24) .. job.id)
  if call('ZADD', edges_key(holder), EDGE_RUN, job.id) == 1 then job.waits = job.waits + 1 end
  call('SADD', ahead_key(job.id), holder)
  if band(job.marks, AHEAD) == 0 then job.marks = job.marks + AHEAD end
end
local function free_key(job)
  if band(job.flags, UNIQUE) == 0 then return end
  whole(job)
  local packed = call('HGET', KEY.unique, job.key)
  if not packed then return end
  if sub(packed, 25) == job.id then
    call('HSET', KEY.unique, job.key, sub(packed, 1, 24))
  elseif sub(packed, 9, 24) == job.id then
    local follower = #packed > 24 and get(sub(packed, 25))
    if follower then
      call('HSET', KEY.unique, job.key, pack('>BI7', follower.mode, follower.mode == PERIOD_MODE and parse('>I7', packed, 2) or 0) .. follower.id)
    elseif job.mode ~= PERIOD_MODE then
      call('HDEL', KEY.unique, job.key)
    end
  end
end

-- The parents that a job was given: by itself, or (`ahead`) by jobs stored after it.
local function parents_of(job)
  local parents = {}
  if band(job.flags, CHILD) > 0 then
    whole(job)
    for at = 1, #job.parents, 16 do parents[#parents + 1] = sub(job.parents, at, at + 15) end
  end
  if band(job.marks, AHEAD) > 0 then
    for _, parent in ipairs(call('SMEMBERS', ahead_key(job.id))) do parents[#parents + 1] = parent end
  end
  return parents
end

local function forget_ahead(job)
  if band(job.marks, AHEAD) > 0 then
    job.marks = job.marks - AHEAD
    call('UNLINK', ahead_key(job.id))
  end
end

-- Removes a blocked job's open edges; `keep`: remembers them, so that a revival can bring them back.
local function cut_edges(job, keep)
  local parents = parents_of(job)
  for i = 1, #parents do
    local key = edges_key(parents[i])
    local policy = call('ZSCORE', key, job.id)
    if policy then
      call('ZREM', key, job.id)
      if keep then call('ZADD', cut_key(job.id), policy, parents[i]) end
    end
  end
  forget_ahead(job)
end

-- Ends that no attempt made are tallied here, by the name of what made them: {packed (queue, kind, name, bucket) -> number}.
local own_ends = {}
local function end_job(job, state, reason, maker)
  if maker then
    local field = cmsgpack.pack({ whole(job).queue, job.kind, maker, 0 })
    own_ends[field] = (own_ends[field] or 0) + 1
  end
  if job.state == BLOCKED then cut_edges(job, true) end
  job.state, job.finished, job.reason, job.park, job.marks = state, now, reason, '', 0
  job.waits, job.dirty = 0, true
  free_key(job)
  ended[#ended + 1] = job
  wake('done')
end

local function to_waiting(job)
  if is_suspended(job) then job.reason = '' end
  job.state, job.park, job.ord, job.dirty, job.moved = WAITING, '', order(whole(job).priority), true, true
end

-- Steps and kept signals of a durable handler, for a job that starts from nothing or goes.
local function drop_steps(id) call('UNLINK', steps_key(id), signals_key(id)) end

local function unblock(job)
  forget_ahead(job)
  job.run_at, job.waits, job.dirty, job.moved = max(job.run_at, now), 0, true, true
  if job.run_at > now then job.state = DELAYED else to_waiting(job) end
end

-- A blocked job that its parent's end takes along. Its edges are remembered, and by whom it was ended.
local function doom(job, policy, parent, state)
  local words = state == FAILED and ' failed' or ' cancelled'
  end_job(job, policy == EDGE_FAIL and FAILED or CANCELLED, 'parent ' .. uuid(parent) .. words, 'doom')
  call('ZADD', cut_key(job.id), policy, parent)
  call('SADD', doomed_key(parent), job.id)
end

-- A child whose parent ended in `state`, its edge already deleted. `times`: of how many parents the same is told at once.
local function settle_child(job, policy, parent, state, times)
  if job.state ~= BLOCKED then return end
  if state == COMPLETED or policy == EDGE_RUN then
    job.waits, job.dirty = max(job.waits - times, 0), true
    if job.waits == 0 then
      if policy == EDGE_TRIGGER then end_job(job, CANCELLED, NOT_TRIGGERED, 'doom') else unblock(job) end
    end
  elseif policy == EDGE_TRIGGER then
    cut_edges(job, false)
    unblock(job)
  else
    doom(job, policy, parent, state)
  end
end

local queue_of = {} -- of ended parents
-- One function, since Lua allows 200 locals in each.
local settle_edges, put_edge, put_edges = (function()
  -- The common cases without a job table: children that were never claimed, of strict queues without limits, that waited for this
  -- parent alone. All but flags and times is the same bytes then; the offsets are those of STATE in prelude.lua.
  local UNCLAIMED, LAST_WAIT = string.rep('\0', 15), string.rep('\0', 20) .. '\1' .. string.rep('\0', 6)
  local after_order = pack('>I7', now) .. string.rep('\0', 27)
  local function is_simple_child(m)
    return byte(m) == BLOCKED and sub(m, 3, 17) == UNCLAIMED and sub(m, 32) == LAST_WAIT and band(byte(m, 2), BOUNDS) == 0
  end
  local function plain_lane(queue, flags)
    local like = { queue = queue, runtime = band(flags, 3), line = '', park = '', run_at = 0, flags = flags, n = 0 }
    local key = place(WAITING, like)
    like.to, like.head = list_of(added, key), char(WAITING, flags) .. UNCLAIMED
    touched[key] = touched[key] or { ready = like }
    return like
  end
  local near, near_fields -- neighbours are of one segment
  local function release(id, lane, ord)
    local start = sub(id, 1, 6)
    if start ~= near then near, near_fields = start, list_of(fields_set, segment(id)) end
    local to, fields = lane.to, near_fields
    local n, f = #to, #fields
    to[n + 1], to[n + 2] = ord, id
    fields[f + 1], fields[f + 2] = id .. 'm', lane.head .. pack('>I7', ord) .. after_order
    lane.n = lane.n + 1
    if News then News.add(WAITING, id) end
  end
  local function count_released(lanes)
    for _, lane in pairs(lanes) do
      if lane then
        count(lane.queue, BLOCKED, -lane.n)
        count(lane.queue, WAITING, lane.n)
        lane.n = 0
      end
    end
  end

  -- Whether an edge does nothing but count when its parent ends so.
  local function counts_down(policy, state) return policy == EDGE_RUN or state == COMPLETED and policy ~= EDGE_TRIGGER end

  -- Many children of one parent come in the order of their ids, as they stand in `blocked`. If they are neighbours there, they are of
  -- that queue, and their records need not be read (nor their payloads be made strings of Lua). True when all were released, else
  -- those that were. What stands before and behind a child's order is mostly the same bytes as its neighbour's, and not judged again then.
  local RUN = 8
  local function release_run(ids, queue)
    local key, first, last = blocked_key(queue), '[' .. ids[1], '[' .. ids[#ids]
    if queue_settings(queue).order ~= 's' or global_keys() or call('ZLEXCOUNT', key, first, last) ~= #ids then return {} end
    local ms, lanes, released = fetch(ids, 'm'), {}, {}
    local head, tail, lane
    for i = 1, #ids do
      local id, m = ids[i], ms[i]
      if m and not jobs[id] then
        local own_head, own_tail = sub(m, 1, 17), sub(m, 25)
        if own_head ~= head or own_tail ~= tail then
          head, tail, lane = own_head, own_tail, is_simple_child(m) and parse('>I7', m, 25) <= now
          if lane then
            lane = lanes[head] or plain_lane(queue, byte(m, 2))
            lanes[head] = lane
          end
        end
        local ord = lane and parse('>I7', m, 18) or 0
        if ord > 0 then
          release(id, lane, order(100 - floor(ord / PRIORITY)))
          released[#released + 1] = id
        end
      end
    end
    count_released(lanes)
    if #released == #ids then
      call('ZREMRANGEBYLEX', key, first, last)
      return true
    end
    local done = {}
    for i = 1, #released do
      done[released[i]] = true
      put(removed, key, released[i])
    end
    return done
  end

  local lanes = {} -- by flags, attempts and queue; false where children have no short form
  local function unblock_simple(id, c, m)
    if not is_simple_child(m) or parse('>I7', m, 25) > now then return false end
    local name = sub(c, 9, 12 + byte(c, 12))
    local lane = lanes[name]
    if lane == nil then
      local queue = sub(name, 5)
      lane = queue_settings(queue).order == 's' and not global_keys() and plain_lane(queue, byte(c, 9))
      lanes[name] = lane
    end
    if not lane or byte(m, 2) ~= lane.flags then return false end
    put(removed, blocked_key(lane.queue), id)
    release(id, lane, order(byte(c, 8) - 100))
    return true
  end

  -- Settles edges that are deleted already: {child, policy, parent, its state, how many alike, ...}, all children read at once.
  local function settle_edges(edges)
    local missing, at = {}, {}
    for e = 1, #edges, 5 do
      local id = edges[e]
      if not at[id] and not jobs[id] then
        missing[#missing + 1] = id
        at[id] = #missing
      end
    end
    local groups = grouped(missing)
    local cs, ms = fetch(missing, '', groups), fetch(missing, 'm', groups)
    for e = 1, #edges, 5 do
      local id, policy, parent, state, times = edges[e], edges[e + 1], edges[e + 2], edges[e + 3], edges[e + 4]
      local job = jobs[id]
      if not job then
        local n = at[id]
        if n and cs[n] and not (counts_down(policy, state) and ms[n] and unblock_simple(id, cs[n], ms[n])) then job = open_job(id, cs[n], ms[n]) end
        at[id] = nil
      end
      if job then
        if job.was == BLOCKED and is_final(job.state) then
          call('ZADD', cut_key(id), policy, parent) -- another parent has ended it: it had this edge too
        else
          settle_child(job, policy, parent, state, times)
        end
      end
    end
    count_released(lanes)
  end

  local function put_edge(edges, child, policy, parent, state, times)
    local n = #edges
    edges[n + 1], edges[n + 2], edges[n + 3], edges[n + 4], edges[n + 5] = child, policy, parent, state, times
  end

  -- Children whose edges were taken, {child, policy, ...}, for `settle_edges`; those that are released at once are left out.
  local function put_edges(edges, page, parent, state)
    local taken = #page / 2
    local run = taken >= RUN and page[2] == page[2 * taken] and counts_down(tonumber(page[2]), state) and queue_of[parent]
    local done = {}
    if run then
      local ids = {}
      for i = 1, taken do ids[i] = page[2 * i - 1] end
      done = release_run(ids, run)
    end
    if done == true then return end
    for i = 1, 2 * taken, 2 do
      if not done[page[i]] then
        put_edge(edges, page[i], tonumber(page[i + 1]), parent, state, 1)
      end
    end
  end

  return settle_edges, put_edge, put_edges
end)()

-- Takes the edges of one ended parent that are to be settled, within the budget; what is left goes into the durable `settle`
-- set. True when none is.
local function take_edges(parent, state, edges)
  local key = edges_key(parent)
  local page, more = {}, nil
  if state == COMPLETED then
    page = budget > 0 and call('ZPOPMIN', key, budget) or {}
    more = #page >= 2 * budget and call('EXISTS', key) == 1
  else -- all but held ones
    page = budget > 0 and call('ZRANGEBYSCORE', key, 1, EDGE_TRIGGER, 'WITHSCORES', 'LIMIT', 0, budget) or {}
    if #page > 0 then call('ZREMRANGEBYRANK', key, 0, #page / 2 - 1) end
    more = #page >= 2 * budget and call('ZCOUNT', key, 1, EDGE_TRIGGER) > 0
  end
  budget = budget - #page / 2
  if #page > 0 then put_edges(edges, page, parent, state) end
  if more then
    call('HSET', KEY.settle, parent, state)
    wake('left')
  end
  return not more
end
local function settle_parent(parent, state)
  local edges = {}
  local done = take_edges(parent, state, edges)
  settle_edges(edges)
  return done
end

-- Goes on with what was left over, up to so many edges; how many.
local function settle_left(most)
  budget = most
  local left = call('HGETALL', KEY.settle)
  for i = 1, #left, 2 do
    if budget <= 0 then break end
    local parent = get(left[i])
    queue_of[left[i]] = parent and parent.queue
    if settle_parent(left[i], tonumber(left[i + 1])) then call('HDEL', KEY.settle, left[i]) end
  end
  return most - budget
end

-- The edges of jobs that completed and have few children each, mostly the same ones (a fan-in), taken as a union: then a child
-- counts down once for all of them. One child has all edges. Of several, what a child's policies add up to by the highest of them is how
-- many it has, if they are all alike; only then these numbers add up to `total`. False, and nothing is taken, for any others.
local FEW = 8
local function take_union(parents, total, edges)
  local words, n, policies, times, all = {}, #parents, {}, {}, 0
  for p = 1, n do words[p] = edges_key(parents[p].id) end
  words[n + 1], words[n + 2], words[n + 3] = 'AGGREGATE', 'MAX', 'WITHSCORES'
  local found = call('ZUNION', n, unpack(words))
  for i = 1, #found, 2 do
    policies[found[i]] = tonumber(found[i + 1])
    if policies[found[i]] == EDGE_TRIGGER then return false end
  end
  if #found == 2 then
    times[found[1]] = total
  else
    words[n + 2] = 'SUM'
    local sums = call('ZUNION', n, unpack(words))
    for i = 1, #sums, 2 do
      times[sums[i]] = sums[i + 1] / policies[sums[i]]
      all = all + times[sums[i]]
    end
    if all ~= total then return false end
  end
  call('UNLINK', unpack(words, 1, n))
  budget = budget - total
  for i = 1, #found, 2 do -- in the order of their ids
    local id = found[i]
    put_edge(edges, id, policies[id], parents[1].id, COMPLETED, times[id])
  end
  return true
end

-- Whether anything waits for the jobs that ended.
local met_children = false

-- Those that ended in this script, from this one on, and that others wait for: with few children, with many, how many edges the
-- first have, and whether all have completed.
local function parents_from(from)
  local keys, few, many, total, all = {}, {}, {}, 0, true
  for i = from, #ended do keys[i - from + 1] = edges_key(ended[i].id) end
  if #keys == 0 or spread('EXISTS', keys[1], keys) == 0 then return few, many, 0, all end
  met_children = true
  for i = from, #ended do
    local job = ended[i]
    local n = job.gone and 0 or call('ZCARD', keys[i - from + 1])
    if job.state ~= COMPLETED then all = false end
    if n > FEW then many[#many + 1] = job
    elseif n > 0 then few[#few + 1], total = job, total + n end
  end
  return few, many, total, all
end

-- Settles everything that ended in this script, the jobs doomed by it included, level by level.
local function settle_ended()
  local from = 1
  while from <= #ended do
    local upto, edges = #ended, {}
    local few, many, total, all = parents_from(from)
    -- An end that is no completion may end children, and these remember each edge that they had.
    local at_once = all and #few > 1 and total <= budget and take_union(few, total, edges)
    for _, parents in ipairs({ at_once and {} or few, many }) do
      for p = 1, #parents do
        queue_of[parents[p].id] = parents[p].queue
        take_edges(parents[p].id, parents[p].state, edges)
      end
    end
    settle_edges(edges)
    from = upto + 1
  end
  if next(own_ends) then
    local tallies = {}
    for field, n in pairs(own_ends) do tallies[#tallies + 1], tallies[#tallies + 2] = field, n end
    add_tallies(tallies)
  end
end

local keys_gone = {}
-- Removes a job with everything that belongs to it (`job.suffixes`: the fields that it may have, if that is known). The caller has
-- made sure that nothing waits for it, and calls `drop_keys` at its end.
local SUFFIXES = { '', 'm', 'r', 'e', 't', 'p', 'l' }
local function forget(job)
  job.gone, job.dirty = true, true
  free_key(job)
  if job.state == BLOCKED then cut_edges(job, false) end
  keys_gone[#keys_gone + 1] = doomed_key(job.id) -- also of a job that failed once and completed later
  if job.state == FAILED or job.state == CANCELLED then keys_gone[#keys_gone + 1] = cut_key(job.id) end
  local fields, suffixes = list_of(fields_gone, segment(job.id)), job.suffixes or SUFFIXES
  local n = #fields
  for s = 1, #suffixes do fields[n + s] = job.id .. suffixes[s] end
  local n_gone = #keys_gone
  keys_gone[n_gone + 1], keys_gone[n_gone + 2], keys_gone[n_gone + 3] = log_key(job.id), steps_key(job.id), signals_key(job.id)
end
local function drop_keys()
  if #keys_gone > 0 then spread('UNLINK', keys_gone[1], keys_gone) end
end

-- Takes the segments that have become empty (of these ids) out of the listing index.
local function close_slots(ids)
  for key, id in pairs(ids) do
    if call('EXISTS', key) == 0 then
      local window = window_of(id)
      call('SETBIT', slots_key(window), slot_of(id), 0)
      if call('BITCOUNT', slots_key(window)) == 0 then
        call('UNLINK', slots_key(window))
        call('ZREM', KEY.windows, window)
      end
    end
  end
end
