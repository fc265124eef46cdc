-- What it does: what time brings: due jobs become waiting, expired ones end, left-over dependents are settled and
--              revived, committed
--              calls that their caller left half stored are completed.
-- Input:  ARGV[1] limit for each of these.
-- Output: {moved, wait or -1, more}.
-- Relies: revive.lua, insert.lua.

local limit = tonumber(ARGV[1])
local ABANDONED = 2000000 -- a caller that lives stores its next chunk far sooner
local moved, more = 0, 0

local function complete_call()
  local tx = call('ZRANGEBYSCORE', KEY.commits, '-inf', server_time() - ABANDONED, 'LIMIT', 0, 1)[1]
  if not tx then return end
  local chunks = call('HKEYS', stage_key(tx))
  table.sort(chunks, function(a, b) return tonumber(a) < tonumber(b) end)
  if chunks[1] then
    local blob = call('HGET', stage_key(tx), chunks[1])
    call('HDEL', stage_key(tx), chunks[1])
    insert(cmsgpack.unpack(blob))
  end
  if #chunks <= 1 then call('ZREM', KEY.commits, tx) end
  more = 1
end

-- Goes on where a large revival stopped. A parent that has ended badly again has nothing to revive.
local function revive_left()
  revival_budget = min(limit, INLINE_EDGES)
  for _, id in ipairs(call('HKEYS', KEY.reviving)) do
    if revival_budget <= 0 then break end
    call('HDEL', KEY.reviving, id)
    local parent = get(id)
    if parent and parent.state ~= FAILED and parent.state ~= CANCELLED then spread_revival({ parent }) end
  end
end

-- Due jobs of all queues in the order of their times, each with a new place in its line.
local function promote_due()
  local found = {}
  for _, member in ipairs(call('ZRANGEBYSCORE', KEY.due, '-inf', now)) do
    local page = call('ZRANGEBYSCORE', due_key(member), '-inf', now, 'WITHSCORES', 'LIMIT', 0, limit)
    for i = 1, #page, 2 do found[#found + 1] = { page[i], tonumber(page[i + 1]), due_key(member) } end
  end
  if #found >= limit then more = 1 end
  table.sort(found, function(a, b) return a[2] < b[2] or a[2] == b[2] and a[1] < b[1] end)
  local ids = {}
  for i = 1, min(#found, limit) do ids[i] = found[i][1] end
  load(ids)
  for i = 1, #ids do
    local job = jobs[ids[i]]
    if not job then
      call('ZREM', found[i][3], ids[i]) -- its record was lost (eviction)
    elseif job.state == DELAYED or job.state == RETRYING or is_suspended(job) then
      to_waiting(job)
      moved = moved + 1
    end
  end
end

local function expire()
  local ids = call('ZRANGEBYSCORE', KEY.expiring, '-inf', now, 'LIMIT', 0, limit)
  load(ids)
  for i = 1, #ids do
    local job = jobs[ids[i]]
    if job and expires_now(job, job.state, job.attempt) then
      end_job(job, CANCELLED, 'expired', 'expire')
      moved = moved + 1
    else
      call('ZREM', KEY.expiring, ids[i])
    end
  end
  if #ids >= limit then more = 1 end
end

go_on_when_full()
complete_call()
moved = settle_left(limit)
revive_left()
expire()
promote_due()
settle_ended()
flush()
if call('EXISTS', KEY.settle) == 1 or call('EXISTS', KEY.reviving) == 1 then more = 1 end
return { moved, next_wait(), more }
