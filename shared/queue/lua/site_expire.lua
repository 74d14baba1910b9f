-- End the leases whose time is over; returns how many.
-- KEYS p parts   ARGV limit
return expire(tonumber(ARGV[1]))
