-- Take finished entries out of the lane. A token that is no longer the entry's removes only itself,
-- so that a late worker can't take away what has been enqueued again since.
-- KEYS stream queued   ARGV group (token entry)...
local tokens = {}
for i = 2, #ARGV, 2 do
  tokens[#tokens + 1] = ARGV[i]
  if redis.call('HGET', KEYS[2], ARGV[i + 1]) == ARGV[i] then
    redis.call('HDEL', KEYS[2], ARGV[i + 1])
  end
end
if #tokens > 0 then
  redis.call('XACK', KEYS[1], ARGV[1], unpack(tokens))
  redis.call('XDEL', KEYS[1], unpack(tokens))
end
return #tokens
