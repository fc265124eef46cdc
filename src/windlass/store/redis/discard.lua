-- What it does: throws away the stage of a call that was refused.
-- Input:  ARGV[1] transaction.
-- Output: 1.
-- Relies: stage.lua; a committed call is left alone.

if not call('ZSCORE', KEY.commits, ARGV[1]) then
  call('UNLINK', stage_key(ARGV[1]))
  call('ZREM', KEY.stages, ARGV[1])
end
return 1
