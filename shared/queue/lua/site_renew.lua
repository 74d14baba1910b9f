-- Renew a lease; 1, or 0 if it is over.
-- KEYS p parts   ARGV sid token lease_ms
local sid, token = ARGV[1], ARGV[2]
if not redis.call('ZSCORE', slots_of(sid), token) then
  return 0
end
local ends = whole(now + tonumber(ARGV[3]))
redis.call('ZADD', slots_of(sid), ends, token)
redis.call('ZADD', p .. 'leases', ends, sid .. ':' .. token)
return 1
