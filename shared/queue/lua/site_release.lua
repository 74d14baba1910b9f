-- End a lease; what it held goes back uncounted.
-- KEYS p parts   ARGV sid token
if redis.call('ZSCORE', slots_of(ARGV[1]), ARGV[2]) then
  give_back(ARGV[1], ARGV[2], true)
end
return redis.status_reply('OK')
