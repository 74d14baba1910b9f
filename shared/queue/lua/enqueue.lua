-- Add entries to a lane's stream unless they are known; returns how many were added.
-- KEYS stream queued delayed   ARGV parts (entry reference)...
local added = 0
for i = 2, #ARGV, 2 do
  local entry = ARGV[i]
  if redis.call('HEXISTS', KEYS[2], entry) == 0
      and not redis.call('ZSCORE', KEYS[3], entry)
      and (ARGV[1] == '' or redis.call('EXISTS', ARGV[1] .. entry) == 0) then
    local id = redis.call('XADD', KEYS[1], '*', 'e', entry, 'r', ARGV[i + 1], 'n', '0')
    redis.call('HSET', KEYS[2], entry, id)
    added = added + 1
  end
end
return added
