-- Say of each entry whether the lane knows it: 1 or 0.
-- KEYS queued delayed   ARGV parts entry...
local result = {}
for i = 2, #ARGV do
  local entry = ARGV[i]
  local known = redis.call('HEXISTS', KEYS[1], entry) == 1
    or redis.call('ZSCORE', KEYS[2], entry)
    or (ARGV[1] ~= '' and redis.call('EXISTS', ARGV[1] .. entry) == 1)
  result[#result + 1] = known and 1 or 0
end
return result
