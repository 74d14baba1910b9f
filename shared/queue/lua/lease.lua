-- Renew (ms > 0) or release (ms = 0) a named lease that is the owner's; 1 if it was.
-- KEYS lease   ARGV owner ms
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  return redis.call('DEL', KEYS[1])
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
