-- What it does: how many jobs match filters that a sum or a sorted set answers.
-- Input:  ARGV[1] {{fingerprints or false, instant before which a retry is due or false, states, queues (empty for all), ended from or
--         false, ended to or false}, ...}; with fingerprints or an instant all others are empty.
-- Output: a number for each.
-- Relies: ledger.lua; the sums are changed by the same scripts that move jobs.

local sums -- state -> queue -> number
local function sums_of(state)
  if not sums then
    sums = {}
    local flat = call('HGETALL', KEY.counts)
    for i = 1, #flat, 2 do
      local number, queue = flat[i]:match('^(%d+):(.*)$')
      number = tonumber(number)
      sums[number] = sums[number] or {}
      sums[number][queue] = tonumber(flat[i + 1])
    end
  end
  return sums[state] or {}
end

local function of_queue(state, queue, since, till)
  if not since and not till then return sums_of(state)[queue] or 0 end
  return call('ZCOUNT', final_key(state, queue), since and text(since) or '-inf', till and '(' .. text(till) or '+inf')
end

local function of_states(states, queues, since, till)
  local n = 0
  for _, state in ipairs(states) do
    if #queues == 0 then
      for queue in pairs(sums_of(state)) do n = n + of_queue(state, queue, since, till) end
    else
      for _, queue in ipairs(queues) do n = n + of_queue(state, queue, since, till) end
    end
  end
  return n
end

local out = {}
for i, asked in ipairs(cmsgpack.unpack(ARGV[1])) do
  local prints, before, states, queues, since, till = unpack(asked, 1, 6)
  if prints then
    out[i] = 0
    for _, print in ipairs(prints) do out[i] = out[i] + call('ZCARD', failures_key(print)) end
  elseif before then
    out[i] = call('ZCOUNT', KEY.retries, '-inf', '(' .. text(before))
  else
    out[i] = of_states(states, queues, since, till)
  end
end
return out
