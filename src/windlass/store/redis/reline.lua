-- What it does: one bounded step of putting jobs into lines that know a new key of a whole queue or kind.
-- Input:  ARGV[1] key, ARGV[2] step: 'plain' | 'lines' and ARGV[3] cursor | 'small', ARGV[3] packed lines | 'move', ARGV[3] line ('' and ARGV[4], ARGV[5]
--         runtime and queue for a plain line), ARGV[6] order to go on behind | 'active' and ARGV[3] cursor.
-- Output: {runtime, queue, ...} of plain lines | {cursor, lines} | those lines that were left out, since they hold too many | the order to go on behind or '' | cursor.
-- Relies: lines.lua. Jobs that come meanwhile know the key by themselves.

local key, what, from = ARGV[1], ARGV[2], ARGV[3]
local STEP = 500
local queue_of, kind_of = key:match('^queue:(.*)$'), key:match('^kind:(.*)$')

local function knows(line)
  local of = Line.parts(line)
  for i = 4, #of do
    if of[i] == key then return true end
  end
end
local function concerns(job) return whole(job).queue == queue_of or job.kind == kind_of end

local steps = {}
function steps.plain()
  local out = {}
  for _, queue in ipairs(queue_of and { queue_of } or call('HKEYS', KEY.queues)) do
    for runtime = 0, 2 do
      if call('EXISTS', waiting_key(runtime, queue)) == 1 then out[#out + 1], out[#out + 2] = runtime, queue end
    end
  end
  return out
end
function steps.lines()
  local reply, out = call('HSCAN', KEY.lines, from, 'COUNT', STEP), {}
  for i = 1, #reply[2], 2 do
    local line = reply[2][i]
    if not knows(line) and (kind_of or Line.parts(line)[2] == queue_of) then out[#out + 1] = line end
  end
  return { reply[1], out }
end
local function move(ids)
  load(ids)
  for i = 1, #ids do
    local job = jobs[ids[i]]
    if job and concerns(job) then
      with_order(job)
      job.reline, job.dirty, job.moved = true, true, true
    end
  end
  flush()
end
-- Many lines of a few jobs each, in one script.
function steps.small()
  local ids, left = {}, {}
  for _, line in ipairs(cmsgpack.unpack(from)) do
    if #ids + call('ZCARD', KEY.line_ .. line) > STEP then
      left[#left + 1] = line
    else
      local page = call('ZRANGE', KEY.line_ .. line, 0, -1)
      for i = 1, #page do ids[#ids + 1] = page[i] end
    end
  end
  move(ids)
  return left
end
function steps.move()
  local home = from ~= '' and KEY.line_ .. from or waiting_key(ARGV[4], ARGV[5])
  local page = call('ZRANGEBYSCORE', home, '(' .. ARGV[6], '+inf', 'WITHSCORES', 'LIMIT', 0, STEP)
  local ids = {}
  for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
  move(ids)
  return #ids == STEP and page[#page] or ''
end
function steps.active()
  local reply, ids = call('ZSCAN', KEY.leased, from, 'COUNT', STEP), {}
  for i = 1, #reply[2], 2 do ids[#ids + 1] = reply[2][i] end
  load(ids)
  for i = 1, #ids do
    local job = jobs[ids[i]]
    if job and job.state == ACTIVE and concerns(job) and not (job.line ~= '' and knows(job.line)) then
      job.reline, job.dirty = true, true
    end
  end
  flush()
  return reply[1]
end
return steps[what]()
