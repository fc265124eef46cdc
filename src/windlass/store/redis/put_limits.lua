-- What it does: creates, changes and forgets limits.
-- Input:  ARGV[1] {{key, drop, concurrency, rate {n, window, burst}, shut for, trial, pinned, detail}, ...}, false for what
--         stays, -1 for what is lifted; ARGV[2] actor, or '' when nothing is to be audited.
-- Output: the keys of whole queues and kinds that are new: their waiting and running jobs are not in lines that know them yet.
-- Relies: lines.lua; reline.lua does the rest.

local new = {}
for _, change in ipairs(cmsgpack.unpack(ARGV[1])) do
  local key, drop, most, rate, shut_for, trial, pinned, detail = unpack(change, 1, 8)
  local limit = Limit.get(key)
  if drop then
    if limit then Limit.drop(key) end
  else
    if not limit then
      limit = Limit.create(key)
      if Limit.is_scope(key) then new[#new + 1] = key end
    end
    if most then limit.most = most end
    if rate then Limit.set_rate(limit, rate[1], rate[2], rate[3]) end
    if shut_for then
      limit.shut = shut_for >= 0 and min(now + shut_for, END_OF_TIME) or 0
      limit.trial = shut_for >= 0 and trial or -1
    end
    if pinned then limit.pinned = pinned > 0 end
    limit.changed = now
    Limit.save(limit)
  end
  if News then News.add('limit', key) end
  if ARGV[2] ~= '' then write_audit(ARGV[2], 'put-limit', 'limit:' .. key, detail) end
end
tell()
return new
