-- What it does: every queue ever used or set up.
-- Input:  none.
-- Output: {name, instant of its pause or '', ...}.
-- Relies: put_queue.lua.

return call('HGETALL', KEY.queues)
