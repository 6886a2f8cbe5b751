-- wrk: POST /get-online-features with the bodies of the file BODIES, one a line, in turn, with the bearer token TOKEN
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
if os.getenv("TOKEN") then
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
end
local requests, at = {}, 0
init = function()
  for line in io.lines(os.getenv("BODIES")) do
    requests[#requests + 1] = wrk.format(nil, "/get-online-features", nil, line)
  end
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
