-- wrk: POST /get-online-features with ROWS random keys below KEYS and ten features, with a bearer token
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. (os.getenv("TOKEN") or "")
local rows = tonumber(os.getenv("ROWS") or "1")
local keys = tonumber(os.getenv("KEYS") or "100000")
local features = {}
for i = 0, 9 do features[#features + 1] = '"fv:f' .. i .. '"' end
local head = '{"features":[' .. table.concat(features, ",") .. '],"entities":{"user_id":['
math.randomseed(42)
request = function()
  local ids = {}
  for i = 1, rows do ids[i] = math.random(0, keys - 1) end
  return wrk.format(nil, "/get-online-features", nil, head .. table.concat(ids, ",") .. "]}}")
end
