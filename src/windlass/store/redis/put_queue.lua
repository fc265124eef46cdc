-- What it does: creates or changes a queue.
-- Input:  ARGV[1] name, ARGV[2] '1' pause, '0' resume, '' leave, ARGV[3] order (first letter) or '', ARGV[4] ageing or '',
--         ARGV[5] actor, ARGV[6] detail (JSON).
-- Output: the queue's settings, as `queues` holds them.
-- Relies: prelude.lua: `queue_settings`. After a change of order every group's place is a lower bound, which claims correct.

local name, wanted, order, ageing, actor, detail = unpack(ARGV, 1, 6)
local settings = queue_settings(name)
local paused = settings.paused
if wanted == '1' and paused == '' then paused = text(now) elseif wanted == '0' then paused = '' end
local turned = order ~= '' and order ~= settings.order or ageing ~= '' and tonumber(ageing) ~= settings.ageing
order, ageing = order ~= '' and order or settings.order, ageing ~= '' and tonumber(ageing) or settings.ageing
local raw = paused
if order ~= 's' or ageing ~= {ageing} then raw = format('%s|%s|%.0f', paused, order, ageing) end
call('HSET', KEY.queues, name, raw)
for runtime = 0, 2 do
  local turns = KEY.turns_ .. runtime .. ':' .. name
  if turned and call('EXISTS', turns) == 1 then call('ZUNIONSTORE', turns, 1, turns, 'WEIGHTS', 0) end
end
write_audit(actor, 'put-queue', 'queue:' .. name, detail)
if News then News.add('queue', name) end
wake('ready')
tell()
return raw
