-- Take an entry out of a lane, whatever its state; returns 1 if it was known.
-- KEYS p parts stream queued delayed refs   ARGV group entry
local entry = ARGV[2]
local token = redis.call('HGET', KEYS[4], entry)
local found = redis.call('ZREM', KEYS[5], entry)
if token then
  redis.call('XACK', KEYS[3], ARGV[1], token)
  redis.call('XDEL', KEYS[3], token)
  redis.call('HDEL', KEYS[4], entry)
  found = 1
end
redis.call('HDEL', KEYS[6], entry)
if parts ~= '' then
  for _, domain in ipairs(redis.call('SMEMBERS', parts .. entry)) do
    local sid = remove_item(entry .. ':' .. domain, nil)
    if sid then
      forget_if_idle(sid)
    end
    found = 1
  end
end
return found
