-- What it does: creates or changes a queue.
-- Input:  ARGV[1] name, ARGV[2] '1' pause, '0' resume, '' leave, ARGV[3] actor.
-- Output: the instant of the pause as text, or ''.
-- Relies: prelude.lua; `queues` holds the instant of the pause, or '' for a running queue.

local name, wanted = ARGV[1], ARGV[2]
local paused = call('HGET', KEY.queues, name) or ''
if wanted == '1' and paused == '' then paused = text(now) elseif wanted == '0' then paused = '' end
call('HSET', KEY.queues, name, paused)
local word = wanted == '1' and 'true' or wanted == '0' and 'false' or 'null'
write_audit(ARGV[3], 'put-queue', 'queue:' .. name, '{"paused":' .. word .. '}')
wake('ready')
tell()
return paused
