-- Renew the leases that this consumer still owns, and return their tokens.
-- XCLAIM alone would steal a lease back from the worker that has reclaimed it.
-- KEYS stream   ARGV group consumer token...
local owned = {}
for i = 3, #ARGV do
  local row = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if not row.err and row[1] and row[1][2] == ARGV[2] then
    owned[#owned + 1] = ARGV[i]
  end
end
if #owned == 0 then
  return owned
end
owned[#owned + 1] = 'JUSTID'
return redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(owned))
