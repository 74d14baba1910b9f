-- Take over leases that nobody renewed for `idle` ms; returns the next cursor and
-- (token entry reference earlier_deliveries deliveries)...
-- KEYS stream   ARGV group consumer idle cursor count
local reply = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], 'COUNT', ARGV[5])
local result = {reply[1]}
for _, row in ipairs(reply[2]) do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], row[1], row[1], 1)
  result[#result + 1] = {row[1], row[2][2], row[2][4], row[2][6], pending[1][4]}
end
return result
