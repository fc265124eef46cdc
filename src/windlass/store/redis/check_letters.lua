-- What it does: for check.lua: ledgers, the groups of dead letters and the automatic retries against the records.
-- Input:  every key of the namespace; `jobs` and `ledgers`, gathered by check.lua.
-- Output: `check_letters(all)`.
-- Relies: ledger.lua.

local ledgers = {} -- id -> packed
local function check_letters(all)
  local groups, planned = {}, 0
  for id, job in pairs(jobs) do
    local packed = ledgers[id]
    local _, retry, print = nil, 0, ''
    if packed then
      _, _, retry = parse('>I7HI7', packed)
      print = sub(packed, 17)
    end
    if job.state == FAILED then
      local key = failures_key(print)
      groups[print] = (groups[print] or 0) + 1
      local at = call('ZSCORE', key, id)
      if not at or tonumber(at) ~= job.finished then say('dead letter %s is not in %s by its end', uuid(id), key) end
    elseif retry > 0 then
      say('job %s is to be retried in state %d', uuid(id), job.state)
    end
    if retry > 0 then planned = planned + 1 end
    if retry > 0 and tonumber(call('ZSCORE', KEY.retries, id) or '0') ~= retry then say('job %s is not in retries by its time', uuid(id)) end
  end
  if call('ZCARD', KEY.retries) ~= planned then say('retries has %d members, the ledgers %d', call('ZCARD', KEY.retries), planned) end
  for print, n in pairs(groups) do
    local told = tonumber(call('ZSCORE', KEY.fingerprints, print) or '0')
    if call('ZCARD', failures_key(print)) ~= n or told ~= n then say('group %s has %d members, fingerprints %d, the records %d', print, call('ZCARD', failures_key(print)), told, n) end
  end
  for _, print in ipairs(call('ZRANGE', KEY.fingerprints, 0, -1)) do
    if not groups[print] then say('fingerprints knows %s, which no dead letter has', print) end
  end
  for key in pairs(all) do
    local print = key == KEY.failures and '' or rest(key, 'failures:')
    if print and not groups[print] then say('%s is of no group', key) end
  end
end
