-- What several sliding windows hold, and whether there is a mark. Returns {marked, used ...}.
-- KEYS mark counter ...   ARGV window_ms
local found = {redis.call('EXISTS', KEYS[1])}
for place = 2, #KEYS do
  found[place] = math.ceil((read_window(KEYS[place], tonumber(ARGV[1]))))
end
return found
