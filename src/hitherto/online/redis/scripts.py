"""The Lua that runs inside the server: fencing and compare-and-set, atomic per batch.

Redis compares Lua strings by the server's locale (strcoll), which misorders even hexadecimal digits in some languages: what
is ordered here are numbers, four bytes each (or one), whose order is that of the bytes. Only equality is asked of strings.
"""

from __future__ import annotations

FENCED = "FENCED"

# KEYS: token. ARGV: token.
RAISE_TOKEN = f"""
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then return redis.error_reply('{FENCED} ' .. held) end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""

# KEYS: token. ARGV: token, then row and value in turns: as an MSET has them, so that what was framed for one is sent as it is.
# In parts, because Lua's stack holds 8,000 values.
SET_ROWS = f"""
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then return redis.error_reply('{FENCED} ' .. held) end
redis.call('INCRBY', KEYS[1], 0)
for at = 2, #ARGV, 1000 do redis.call('MSET', unpack(ARGV, at, math.min(at + 999, #ARGV))) end
return 1
"""

# KEYS: token, rows... ARGV: token.
REMOVE_ROWS = f"""
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then return redis.error_reply('{FENCED} ' .. held) end
return redis.call('UNLINK', unpack(KEYS, 2))
"""

# KEYS: token, places, rows... ARGV: token, member of places, sequence of the run (empty for a push), values... (empty removes).
# Without rows it only makes the place known, and answers whether it is new. The same rule as hitherto.online.store.decide. A later row of the batch sees what an earlier one did.
# What has changed rows touches the token, which stays the same: whoever watches it to change rows must look again.
CHANGE = f"""
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then return redis.error_reply('{FENCED} ' .. held) end
local fresh = redis.call('SADD', KEYS[2], ARGV[2])
if #KEYS == 2 then return fresh end
local numbers, byte, sub = struct.unpack, string.byte, string.sub
local function order(a, at, b, from)
  local a1, a2, a3, a4 = numbers('>I4I4I4I4', a, at)
  local b1, b2, b3, b4 = numbers('>I4I4I4I4', b, from)
  if a1 ~= b1 then return a1 - b1 end
  if a2 ~= b2 then return a2 - b2 end
  if a3 ~= b3 then return a3 - b3 end
  return a4 - b4
end
local function greater(a, b)
  for at = 2, 34, 16 do
    local difference = order(a, at, b, at)
    if difference ~= 0 then return difference > 0 end
  end
  if sub(a, 67) == sub(b, 67) then return false end
  for i = 67, #a do
    local x, y = byte(a, i), byte(b, i) or -1
    if x ~= y then return x > y end
  end
  return false
end
local run = ARGV[3]
local function wins(stored, value)
  if not stored then return value ~= '' end
  if run ~= '' and order(stored, 50, run, 1) <= 0 then return true end
  return value ~= '' and greater(value, stored)
end
local stored = redis.call('MGET', unpack(KEYS, 3))
local latest, sets, removals, changed = {{}}, {{}}, {{}}, 0
for i = 3, #KEYS do
  local key, value = KEYS[i], ARGV[i + 1]
  local current = latest[key]
  if current == nil then current = stored[i - 2] end
  if wins(current, value) then
    changed = changed + 1
    latest[key] = value ~= '' and value
    if value ~= '' then
      sets[#sets + 1] = key
      sets[#sets + 1] = value
    else
      removals[#removals + 1] = key
    end
  end
end
if changed > 0 then redis.call('INCRBY', KEYS[1], 0) end
if #sets > 0 then redis.call('MSET', unpack(sets)) end
for i = 1, #removals do
  if latest[removals[i]] == false then redis.call('DEL', removals[i]) end
end
return changed
"""
