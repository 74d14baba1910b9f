-- Put entries off until `due` (Unix time in ms); the earlier of two times counts.
-- An empty token means an entry that isn't leased: it is delayed only if unknown.
-- KEYS stream queued delayed refs   ARGV group parts (token entry reference due)...
local function known(entry)
  return redis.call('HEXISTS', KEYS[2], entry) == 1
    or (ARGV[2] ~= '' and redis.call('EXISTS', ARGV[2] .. entry) == 1)
end
for i = 3, #ARGV, 4 do
  local token, entry = ARGV[i], ARGV[i + 1]
  if token ~= '' then
    redis.call('XACK', KEYS[1], ARGV[1], token)
    redis.call('XDEL', KEYS[1], token)
    if redis.call('HGET', KEYS[2], entry) == token then
      redis.call('HDEL', KEYS[2], entry)
    end
  end
  if token ~= '' or not known(entry) then
    redis.call('ZADD', KEYS[3], 'LT', ARGV[i + 3], entry)
    redis.call('HSET', KEYS[4], entry, ARGV[i + 2])
  end
end
return redis.status_reply('OK')
