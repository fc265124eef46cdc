-- What it does: goes through ended jobs in the order of their ends, each once for each duty; used by strip.lua and regroup.lua.
-- Input:  ended jobs.
-- Output: `walk(duty, state, age, act)`: `act(ids)` answers how many of them it touched; `group(ids)`; `looks`, `left`.
-- Relies: ends.lua. `walked` has for each duty and set the end and the id of the last job that was looked at. A job that ended anew
--         comes by again.

local BATCH = 500
local left, looks = BATCH, BATCH -- jobs that may be touched, and looked at

-- At most `most` jobs behind a mark: {id, end, ...}. Those of one call end at one instant, in the order of their ids.
local function behind(key, mark, upto, most)
  if not mark then return call('ZRANGEBYSCORE', key, '-inf', text(upto), 'WITHSCORES', 'LIMIT', 0, most) end
  local at, id, page = parse('>I7', mark), sub(mark, 8), {}
  local alike = at <= upto and call('ZRANGEBYSCORE', key, text(at), text(at)) or {}
  for i = 1, #alike do
    if alike[i] > id and #page < 2 * most then page[#page + 1], page[#page + 2] = alike[i], text(at) end
  end
  if #page == 2 * most then return page end
  local later = call('ZRANGEBYSCORE', key, '(' .. text(at), text(upto), 'WITHSCORES', 'LIMIT', 0, most - #page / 2)
  for i = 1, #later do page[#page + 1] = later[i] end
  return page
end

local marks
local function walk(duty, state, age, act)
  if not marks then
    marks = {}
    local flat = call('HGETALL', KEY.walked)
    for i = 1, #flat, 2 do marks[flat[i]] = flat[i + 1] end
  end
  local names = call('HKEYS', KEY.queues)
  for q = 1, #names do
    local key, name = final_key(state, names[q]), duty .. ':' .. state .. ':' .. names[q]
    while looks > 0 and left > 0 do
      local page = behind(key, marks[name], now - age, min(left, looks, BATCH))
      if #page == 0 then break end
      local ids = {}
      for i = 1, #page, 2 do ids[#ids + 1] = page[i] end
      left, looks = left - act(ids), looks - #ids
      marks[name] = pack('>I7', tonumber(page[#page])) .. page[#page - 1]
      call('HSET', KEY.walked, name, marks[name])
    end
    if marks[name] and call('EXISTS', key) == 0 then call('HDEL', KEY.walked, name) end
  end
end

-- Dead letters that stand in no group: they failed before there were groups, or by a Windlass that knows none.
local function group(ids)
  local kept, lost = fetch(ids, 'l'), {}
  for i = 1, #ids do
    local print = kept[i] and sub(kept[i], 17) or ''
    if not call('ZSCORE', failures_key(print), ids[i]) then lost[#lost + 1] = ids[i] end
  end
  load(lost)
  for i = 1, #lost do
    local job = jobs[lost[i]]
    if job and job.state == FAILED then job.dirty = true end -- `flush` puts it in
  end
  return 0
end
