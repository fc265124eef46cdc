-- What it does: judges the ends of attempts and commits plain completions; used by finish.lua and finish_plain.lua.
-- Input:  items whose first two values are id and lease; ARGV[5] what each completion cost, or '' when none did.
-- Output: `judge_all(items, width)` with `letters` and `clean`, `costs`, `complete(...)`, `count_completed()`.
-- Relies: ends.lua.

local NARROW = 5 -- values of a completion: id, lease, took, queue, result
local letters, seen, clean = {}, {}, true

-- What the lease of an item is worth against its job's mutable record (its bytes 4 to 17 are lease and settled lease).
local lease_bytes = {}
local function judge(id, lease, m)
  if not m then return 's' end
  if seen[id] == lease then return 'r' end
  local packed = lease_bytes[lease]
  if not packed then
    packed = pack('>I7', lease)
    lease_bytes[lease] = packed
  end
  if byte(m) == ACTIVE and sub(m, 4, 10) == packed then
    seen[id] = lease
    return 'a'
  end
  return sub(m, 11, 17) == packed and lease > 0 and 'r' or 's'
end

-- The states of the items, and their ids.
local function judge_all(items, width)
  local ids = {}
  for at = 1, #items, width do ids[#ids + 1] = items[at] end
  local states = #ids > 0 and fetch(ids, 'm') or {}
  for i = 1, #ids do
    local letter = judge(ids[i], items[(i - 1) * width + 2], states[i])
    letters[#letters + 1] = letter
    if letter ~= 'a' then clean = false end
  end
  return states, ids
end

-- What completions cost is added to their ledgers (ledger.lua), of which nothing else changes.
local costs = ARGV[5] ~= '' and cmsgpack.unpack(ARGV[5])
local complete, count_completed -- the block keeps the rest below the 200 locals that Lua allows
do

local NO_RETRY = '\0\0\0\0\0\0\0'
local ledgers_of = {} -- by cost
local function ledger_with(before, cost)
  if before then return pack('>I7', parse('>I7', before) + cost) .. sub(before, 8) end
  ledgers_of[cost] = ledgers_of[cost] or pack('>I7HI7', cost, 0, 0)
  return ledgers_of[cost]
end

-- The common case without a job table: completion of a job without a key and without a flag; false for any other. Most bytes
-- of its state stay; the offsets are those of STATE in prelude.lua. `ledger`: what it has of one, `cost`: what the attempt adds.
local NOW, NOW_BYTES, ONE = text(now), pack('>I7', now), '\0\1'
local homes, leased = {}, list_of(removed, KEY.leased)
local function home_of(queue)
  local home = homes[queue]
  if not home then
    home = { final = list_of(added, final_key(COMPLETED, queue)), n = 0 }
    homes[queue] = home
  end
  return home
end
function complete(id, m, took, queue, result, ledger, cost)
  local flags, marks = byte(m, 2, 3)
  if band(flags, UNIQUE) > 0 or marks > 0 or ledger and sub(ledger, 10, 16) ~= NO_RETRY then return false end
  local home, fields, lease, attempt = home_of(queue), list_of(fields_set, segment(id)), sub(m, 4, 10), sub(m, 46, 47)
  local n, f, high, low = #fields, #home.final, byte(m, 53, 54)
  attempt = attempt == '\0\0' and ONE or pack('>H', min(parse('>H', attempt) + 1, 65535))
  fields[n + 1] = id .. 'm'
  fields[n + 2] = char(COMPLETED, flags, 0) .. lease .. lease .. sub(m, 18, 31) .. pack('>I7', now - took) .. NOW_BYTES
    .. attempt .. sub(m, 48, 54 + high * 256 + low) .. '\0\0\0\0'
  if result then
    n = n + 2
    fields[n + 1], fields[n + 2] = id .. 'r', result
  end
  if cost > 0 then fields[n + 3], fields[n + 4] = id .. 'l', ledger_with(ledger, cost) end
  home.final[f + 1], home.final[f + 2], home.n = NOW, id, home.n + 1
  leased[#leased + 1] = id
  if News then News.add(COMPLETED, id) end
  return true
end
function count_completed()
  for queue, home in pairs(homes) do
    count(queue, ACTIVE, -home.n)
    count(queue, COMPLETED, home.n)
    wake('done')
  end
end

end
