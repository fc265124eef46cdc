-- What it does: keeps the ledgers (field <id>l: cost, revivals, next retry, fingerprint of the error) of jobs that an end or an
--              operator changed, and with them the groups of dead letters; the body of a function that runs when there are any.
-- Input:  `booked`: jobs that come to or leave `failed`, or that a verb says something of in `books` {spent, print (of an error that
--         replaces the job's, '' with the error dropped), ladder, revivals, retry}.
-- Output: a function for after the lists are written: it brings the sizes of the groups up to date.
-- Relies: prelude.lua. A plain job has no such field, so neither memory nor a claim or a completion know of it.

local LEDGER = '>I7HI7'
local ids, groups = {}, {}
for i = 1, #booked do ids[i] = booked[i].id end
local kept = fetch(ids, 'l')

-- Of an error that was stored before there were ledgers.
local function told_by_error(id)
  local error = call('HGET', segment(id), id .. 'e')
  local read, info = pcall(cjson.decode, error or '')
  return read and type(info) == 'table' and type(info.fingerprint) == 'string' and info.fingerprint or ''
end

local function read(packed)
  if not packed then return 0, 0, 0, '' end
  local cost, revivals, retry, at = parse(LEDGER, packed)
  return cost, revivals, retry, sub(packed, at)
end

local function leave(id, print, retry)
  put(removed, failures_key(print), id)
  if retry > 0 then put(removed, KEY.retries, id) end
  groups[print] = true
end

local function enter(job, print, retry)
  put(added, failures_key(print), job.finished, job.id)
  if retry > 0 then put(added, KEY.retries, retry, job.id) end
  groups[print] = true
end

for i = 1, #booked do
  local job, books = booked[i], booked[i].books or {}
  local cost, revivals, retry, print = read(kept[i])
  local fails = job.state == FAILED and not job.gone
  if job.was == FAILED and not job.born or retry > 0 then leave(job.id, print, retry) end
  if not job.gone then
    cost, revivals, print = cost + (books.spent or 0), books.revivals or revivals, books.print or print
    if books.again then revivals = revivals + 1 end
    if not fails then retry = 0
    elseif books.retry then retry = books.retry
    elseif books.ladder or job.was ~= FAILED then
      local wait = books.ladder and books.ladder[revivals + 1]
      retry = wait and now + wait or 0
    end
    if fails and not kept[i] and not books.print then print = told_by_error(job.id) end
    if fails then enter(job, print, retry) end
    local packed = cost + revivals + retry + #print > 0 and pack(LEDGER, cost, min(revivals, 65535), retry) .. print
    if packed and packed ~= kept[i] then set_field(job.id, 'l', packed)
    elseif kept[i] and not packed then drop_field(job.id, 'l') end
  end
end

return function()
  for print in pairs(groups) do
    local n = call('ZCARD', failures_key(print))
    if n > 0 then call('ZADD', KEY.fingerprints, n, print) else call('ZREM', KEY.fingerprints, print) end
  end
end
