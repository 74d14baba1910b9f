-- Give leases back: each entry goes to the stream anew, where a blocked reader gets it at once.
-- `deliveries` are those that count against it; this one didn't fail, so the caller leaves it out.
-- KEYS stream queued   ARGV group consumer (token entry reference deliveries)...
local released = 0
for i = 3, #ARGV, 4 do
  local token, entry = ARGV[i], ARGV[i + 1]
  local row = redis.pcall('XPENDING', KEYS[1], ARGV[1], token, token, 1)
  if not row.err and row[1] and row[1][2] == ARGV[2] then
    redis.call('XACK', KEYS[1], ARGV[1], token)
    local there = redis.call('XDEL', KEYS[1], token)
    if there == 1 and redis.call('HGET', KEYS[2], entry) == token then
      local id = redis.call('XADD', KEYS[1], '*', 'e', entry, 'r', ARGV[i + 2], 'n', ARGV[i + 3])
      redis.call('HSET', KEYS[2], entry, id)
      released = released + 1
    end
  end
end
return released
