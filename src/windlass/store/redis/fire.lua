-- What it does: if a schedule is still due at the named instant: moves it on and stores its job.
-- Input:  ARGV[1] key, ARGV[2] due, ARGV[3] next due or '', ARGV[4] batch of one or '', ARGV[5] the job's id as text.
-- Output: {'lost'} | {'ok', {} or {1, holder}} | {'unknown', parent}.
-- Relies: insert.lua; compare-and-set on the due time, so recurring jobs need no leader.

local key = schedule_key(ARGV[1])
if call('HGET', key, 'due') ~= ARGV[2] then return { 'lost' } end
local batch = ARGV[4] ~= '' and cmsgpack.unpack(ARGV[4])
local unknown = batch and unknown_parent(batch)
if unknown then return { 'unknown', unknown } end
call('HSET', key, 'last_due', ARGV[2])
local paused = call('HGET', key, 'paused') == '1'
if ARGV[3] == '' then call('HDEL', key, 'due') else call('HSET', key, 'due', ARGV[3]) end
call('ZADD', KEY.schedules, ARGV[3] ~= '' and not paused and ARGV[3] or '+inf', ARGV[1])
if News then News.add('schedule', ARGV[1]) end
local answers = {}
if batch then
  answers = insert(batch)
  call('HINCRBY', key, 'fired', 1)
  call('HSET', key, 'last_job', answers[2] and uuid(answers[2]) or ARGV[5])
  settle_ended()
end
flush()
return { 'ok', answers }
