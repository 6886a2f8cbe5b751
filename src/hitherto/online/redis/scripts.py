"""The Lua that runs inside the server: fencing and compare-and-set, atomic per batch.

Redis compares Lua strings by the server's locale (strcoll), which misorders even hexadecimal digits in some languages: every
comparison here is made byte by byte.
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

# KEYS: token, places, rows... ARGV: token, member of places, sequence of the run (empty for a push), values... (empty removes).
# Without rows it only makes the place known, and answers whether it is new. The same rule as hitherto.online.store.decide. A later row of the batch sees what an earlier one did.
CHANGE = f"""
local held = redis.call('GET', KEYS[1])
if held and tonumber(held) > tonumber(ARGV[1]) then return redis.error_reply('{FENCED} ' .. held) end
local fresh = redis.call('SADD', KEYS[2], ARGV[2])
if #KEYS == 2 then return fresh end
local byte, sub = string.byte, string.sub
local function differ(a, b)
  if a == b then return 0 end
  for i = 1, math.max(#a, #b) do
    local x, y = byte(a, i) or -1, byte(b, i) or -1
    if x ~= y then return x - y end
  end
end
local function greater(a, b)
  local order = differ(sub(a, 2, 49), sub(b, 2, 49))
  if order == 0 then order = differ(sub(a, 67), sub(b, 67)) end
  return order > 0
end
local run = ARGV[3]
local function wins(stored, value)
  if not stored then return value ~= '' end
  if run ~= '' and differ(sub(stored, 50, 65), run) <= 0 then return true end
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
if #sets > 0 then redis.call('MSET', unpack(sets)) end
for i = 1, #removals do
  if latest[removals[i]] == false then redis.call('DEL', removals[i]) end
end
return changed
"""
