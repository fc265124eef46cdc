-- What it does: limits of keys: what they allow, how much of it is used, when a key opens again.
-- Input:  the tables `Limit` and `Line` of prelude.lua.
-- Output: `Limit.*`; what a script spent is written by `Limit.settle`.
-- Relies: `limits` holds a packed row a key, `holders:<key>` who runs under it, `rate:<key>` the starts that its window
--         counts, oldest first: time and cost, one entry a claim call. docs/design/limits.md tells the rules.

local GUARD, EXACT, BUCKETS, ENTRY = {guard}, {exact}, {buckets}, '>I7I4'
local known = {} -- limits of this script by key, false where there is none

-- Rows: at most `most` at once, `n` starts in `window` (or of a bucket of `burst`), -1 for what is not limited; shut until
-- then, 0 if not, and then `trial` at once; what the log holds, or the bucket's tokens times the window and since when.
function Limit.unpack(key, packed, log, guard)
  local f = cmsgpack.unpack(packed)
  return {
    key = key, most = f[1], n = f[2], window = f[3], burst = f[4], shut = f[5], trial = f[6], pinned = f[7], changed = f[8],
    used = f[9], tokens = f[10], at = f[11], log = log, guard = guard,
  }
end
function Limit.make(key, log, guard)
  return {
    key = key, most = -1, n = -1, window = 0, burst = -1, shut = 0, trial = -1, pinned = false, changed = now, used = 0,
    tokens = 0, at = now, log = log, guard = guard, fresh = true, gone = 0,
  }
end
function Limit.pack(l)
  return cmsgpack.pack({ l.most, l.n, l.window, l.burst, l.shut, l.trial, l.pinned, l.changed, l.used, l.tokens, l.at })
end

function Limit.get(key)
  local limit = known[key]
  if limit == nil then
    local packed = call('HGET', KEY.limits, key)
    limit = packed and Limit.unpack(key, packed, KEY.rate_ .. key, GUARD) or false
    known[key] = limit
  end
  return limit
end
-- A key that is not known yet; of a whole queue or kind it holds for every line made from now on.
function Limit.create(key)
  local limit = Limit.make(key, KEY.rate_ .. key, GUARD)
  known[key] = limit
  if Limit.is_scope(key) then
    call('SADD', KEY.scopes, key)
    Line.forget_scopes()
  end
  return limit
end
function Limit.is_scope(key) return sub(key, 1, 6) == 'queue:' or sub(key, 1, 5) == 'kind:' end
function Limit.save(limit)
  call('HSET', KEY.limits, limit.key, Limit.pack(limit))
  Limit.stir(limit.key)
end
-- Lines that wait for the key are looked at again.
function Limit.stir(key)
  if call('EXISTS', KEY.waiters_ .. key) == 1 then
    call('SADD', KEY.awake, key)
    wake('ready')
  end
end
function Limit.drop(key)
  known[key] = false
  call('HDEL', KEY.limits, key)
  call('ZREM', KEY.timers, key)
  call('UNLINK', KEY.rate_ .. key)
  if Limit.is_scope(key) then
    call('SREM', KEY.scopes, key)
    Line.forget_scopes()
  end
  Limit.stir(key)
end

-- A log stays when its rate changes; a bucket begins with what the log left of it.
function Limit.set_rate(limit, n, window, burst)
  Limit.refresh(limit)
  if (limit.gone or 0) > 0 then call('LTRIM', limit.log, limit.gone, -1) end
  if burst >= 0 and limit.burst < 0 then
    limit.tokens, limit.at, limit.used = max(burst - limit.used, 0) * window, now, 0
    call('UNLINK', limit.log)
  elseif burst >= 0 then
    limit.tokens = min(limit.tokens * window / limit.window, burst * window)
  end
  limit.n, limit.window, limit.burst, limit.fresh = n, window, burst, false
end

-- What a job's bound says about its key. A bound that is not `newest` only makes what is missing.
function Limit.define(key, most, n, window, burst, newest)
  local limit = Limit.get(key)
  if limit and (not newest or limit.pinned) then return end
  local same = limit and limit.n == n and limit.window == window and limit.burst == burst
  if same and limit.most == most then return end
  limit = limit or Limit.create(key)
  if not same then Limit.set_rate(limit, n, window, burst) end
  limit.most, limit.changed = most, now
  Limit.save(limit)
end

function Limit.held(limit)
  limit.count = limit.count or call('SCARD', KEY.holders_ .. limit.key)
  return limit.count
end
-- How many may run at once now, -1 for any number.
function Limit.most(limit)
  if limit.shut > 0 and limit.trial >= 0 then return limit.most >= 0 and min(limit.most, limit.trial) or limit.trial end
  return limit.most
end

-- What the window has passed over no longer counts, and a bucket fills. `gone`: entries of the log to drop.
function Limit.refresh(limit)
  if limit.fresh then return end
  limit.fresh, limit.gone = true, 0
  if limit.n < 0 then return end
  if limit.burst >= 0 then
    limit.tokens = min(limit.burst * limit.window, limit.tokens + max(now - limit.at, 0) * limit.n)
    limit.at = now
    return
  end
  repeat
    local page = call('LRANGE', limit.log, limit.gone, limit.gone + 99)
    for i = 1, #page do
      local at, cost = parse(ENTRY, page[i])
      if at + limit.window + limit.guard > now then return end
      limit.used, limit.gone = max(limit.used - cost, 0), limit.gone + 1
    end
  until #page < 100
  limit.used = 0
end
function Limit.capped(limit, cost) return min(cost, limit.burst >= 0 and limit.burst or limit.n) end
function Limit.left(limit)
  Limit.refresh(limit)
  return limit.burst >= 0 and limit.tokens / limit.window or limit.n - limit.used
end

-- The time that an entry is given. Large windows go in steps, each rounded to the safe side.
local function stamp(limit)
  if limit.n <= EXACT then return now end
  local step = math.ceil(limit.window / BUCKETS)
  return math.ceil(now / step) * step
end
-- When so much fits; now if it does.
function Limit.opens(limit, cost)
  cost = Limit.capped(limit, cost)
  local need = cost - Limit.left(limit)
  if need <= 0 then return now end
  if limit.burst >= 0 then return now + math.ceil((cost * limit.window - limit.tokens) / limit.n) end
  local from = limit.gone
  repeat
    local page = call('LRANGE', limit.log, from, from + 99)
    for i = 1, #page do
      local at, spent = parse(ENTRY, page[i])
      need = need - spent
      if need <= 0 then return at + limit.window + limit.guard end
    end
    from = from + 100
  until #page < 100
  return stamp(limit) + limit.window + limit.guard -- it is this call that spent the rest
end

-- Why a start of this cost has to wait: until when, or math.huge when a holder has to leave; nil if it has not.
function Limit.refuses(limit, cost)
  if limit.shut > now then return limit.shut end
  local most = Limit.most(limit)
  if most >= 0 and Limit.held(limit) >= most then return math.huge end
  if limit.n >= 0 and Limit.left(limit) < Limit.capped(limit, cost) then return Limit.opens(limit, cost) end
end
-- How many of cost 1 may start.
function Limit.room(limit)
  if limit.shut > now then return 0 end
  local most, room = Limit.most(limit), math.huge
  if most >= 0 then room = most - Limit.held(limit) end
  if limit.n >= 0 then room = min(room, floor(Limit.left(limit))) end
  return max(room, 0)
end

local spenders = {}
function Limit.spend(limit, cost)
  if limit.n < 0 then return end
  cost = Limit.capped(limit, cost)
  if limit.burst >= 0 then limit.tokens = limit.tokens - cost * limit.window else limit.used = limit.used + cost end
  limit.spent = (limit.spent or 0) + cost
  spenders[limit] = true
end
-- Writes what was spent: one entry a key, joined with the last one of the same time.
function Limit.settle(home)
  for limit in pairs(spenders) do
    if limit.burst < 0 then
      local at, cost = stamp(limit), limit.spent
      if limit.gone > 0 then call('LTRIM', limit.log, limit.gone, -1) end
      local last = call('LINDEX', limit.log, -1)
      local before, spent
      if last then before, spent = parse(ENTRY, last) end
      if before and before >= at then call('LSET', limit.log, -1, pack(ENTRY, before, spent + cost))
      else call('RPUSH', limit.log, pack(ENTRY, at, cost)) end
    end
    call('HSET', home, limit.key, Limit.pack(limit))
  end
end

-- A key as readers see it, or nil. Nothing is written.
local function has_waiting(key)
  local lines = call('ZRANGE', KEY.waiters_ .. key, 0, 15)
  for i = 1, #lines do
    if call('EXISTS', KEY.line_ .. lines[i]) == 1 then return 1 end
  end
  return 0
end
function Limit.tell(key)
  local l = Limit.get(key)
  if not l then return nil end
  Limit.refresh(l)
  local used = l.n < 0 and 0 or l.burst >= 0 and l.burst - floor(l.tokens / l.window) or l.used
  local opens = max(l.shut > now and l.shut or 0, l.n >= 0 and Limit.opens(l, 1) or 0)
  return {
    key, l.most, l.n, l.window, l.burst, l.shut, l.trial, l.pinned and 1 or 0, Limit.held(l), used, opens > now and opens or 0,
    has_waiting(key),
  }
end
