-- What it does: makes a staged call certain: from here on its chunks will be stored, by the caller or by `promote`.
-- Input:  ARGV[1] transaction, ARGV[2] number of chunks.
-- Output: 1 | 0: the stage is incomplete (it was pruned) and nothing happens.
-- Relies: stage.lua.

if call('HLEN', stage_key(ARGV[1])) ~= tonumber(ARGV[2]) then
  call('UNLINK', stage_key(ARGV[1]))
  call('ZREM', KEY.stages, ARGV[1])
  return 0
end
call('ZREM', KEY.stages, ARGV[1])
call('ZADD', KEY.commits, server_time(), ARGV[1])
return 1
