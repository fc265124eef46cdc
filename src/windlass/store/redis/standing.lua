-- What it does: where a job stands and what holds it back.
-- Input:  ARGV[1] id, ARGV[2] most jobs ahead that are counted, ARGV[3] most holders of a key that are named.
-- Output: {} or {{record, state or '', r, e, t, p, l}, now, queue's settings, place in its line or -1, limits (`Limit.tell`),
--         holders of each, {parent, state, ...} it waits for, holder of its unique key or ''}.
-- Relies: ends.lua, lines.lua. Nothing is written.

local id = ARGV[1]
local job = get(id)
if not job then return {} end
local fields = { job.c, job.m or '' }
for _, suffix in ipairs({ 'r', 'e', 't', 'p', 'l' }) do fields[#fields + 1] = fetch({ id }, suffix)[1] or '' end

local ahead = -1
if job.state == WAITING and job.park == '' then
  ahead = min(call('ZRANK', place(WAITING, job), id) or 0, tonumber(ARGV[2]))
end

local keys, limits, holders = {}, {}, {}
if job.line ~= '' then
  local of = Line.parts(job.line)
  for i = 4, #of do keys[#keys + 1] = of[i] end
elseif not is_final(job.state) and (job.bounds or global_keys()) then
  keys = Line.keys_of(job, true)
end
for i = 1, #keys do
  local told = Limit.tell(keys[i])
  if told then
    limits[#limits + 1] = told
    holders[#holders + 1] = call('SRANDMEMBER', KEY.holders_ .. keys[i], ARGV[3])
  end
end

local open = {}
for _, parent in ipairs(job.state == BLOCKED and parents_of(job) or {}) do
  if call('ZSCORE', edges_key(parent), id) and get(parent) then
    open[#open + 1], open[#open + 2] = parent, get(parent).state
  end
end
local holder = job.key and holder_of(job.key)
return {
  fields, now, call('HGET', KEY.queues, job.queue) or '', ahead, limits, holders, open,
  holder and holder ~= id and holder or '',
}
