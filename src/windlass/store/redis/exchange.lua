-- What it does: compare-and-set on small keyed records, each by itself, in order.
-- Input:  ARGV[1] {{space, key, text or false, expect or false, ttl or false}, ...}.
-- Output: {swapped, text or false, version, ...} per swap.
-- Relies: prelude.lua; a record is `version (6 bytes), until (7 bytes, 0 for ever)` and its text.

local out = {}
for _, swap in ipairs(cmsgpack.unpack(ARGV[1])) do
  local space, key, words, expect, ttl = unpack(swap, 1, 5)
  local home, n = space_key(space), #out
  local packed = call('HGET', home, key)
  local version, till, kept = 0, 0, false
  if packed then
    version, till = parse('>I6I7', packed)
    kept = sub(packed, 14)
    if till > 0 and till <= now then version, kept = 0, false end
  end
  if expect and expect ~= version then
    out[n + 1], out[n + 2], out[n + 3] = 0, kept, version
  else
    version = 0
    if words then
      version = call('INCR', KEY.versions)
      till = ttl and now + ttl or 0
      call('HSET', home, key, pack('>I6I7', version, till) .. words)
    else
      till = 0
      call('HDEL', home, key)
    end
    local member = cmsgpack.pack({ space, key })
    if till > 0 then call('ZADD', KEY.lapsing, till, member) else call('ZREM', KEY.lapsing, member) end
    out[n + 1], out[n + 2], out[n + 3] = 1, words, version
  end
end
return out
