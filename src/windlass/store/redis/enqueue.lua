-- What it does: stores one batch of new jobs; of a staged call the next chunk, dropping its stage.
-- Input:  ARGV[1] batch (empty: take it from the stage), ARGV[2] transaction or '', ARGV[3] chunk.
-- Output: {'ok', {position, holder, ...}} | {'unknown', parent} | {'again'}: the chunk was taken, send it whole.
-- Relies: insert.lua. A repeat after a lost reply finds the ids known and changes nothing.

local blob, tx = ARGV[1], ARGV[2]
if blob == '' then blob = call('HGET', stage_key(tx), ARGV[3]) end
if not blob then return { 'again' } end
local batch = cmsgpack.unpack(blob)
if tx == '' then
  local unknown = unknown_parent(batch)
  if unknown then return { 'unknown', unknown } end
else
  call('HDEL', stage_key(tx), ARGV[3])
  if call('EXISTS', stage_key(tx)) == 0 then call('ZREM', KEY.commits, tx)
  else call('ZADD', KEY.commits, server_time(), tx) end -- its caller lives: promote keeps off
end
local answers = insert(batch)
settle_ended()
flush()
return { 'ok', answers }
