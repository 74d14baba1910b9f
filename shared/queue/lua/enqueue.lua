-- Add entries to a lane's stream unless they are known; returns how many were added.
-- KEYS stream queued delayed   ARGV parts, then for each entry one text: entry, space, reference
local added = 0
for i = 2, #ARGV do
  local entry, reference = string.match(ARGV[i], '^(%S+) (.*)$')
  if redis.call('HEXISTS', KEYS[2], entry) == 0
      and not redis.call('ZSCORE', KEYS[3], entry)
      and (ARGV[1] == '' or redis.call('EXISTS', ARGV[1] .. entry) == 0) then
    local id = redis.call('XADD', KEYS[1], '*', 'e', entry, 'r', reference, 'n', '0')
    redis.call('HSET', KEYS[2], entry, id)
    added = added + 1
  end
end
return added
