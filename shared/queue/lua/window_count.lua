-- Count in a sliding window. Refused amounts are not counted.
-- Returns {allowed, used, ms until the next would be allowed}.
-- KEYS counter   ARGV limit window_ms amount
local limit, window, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local used, this, last, number, elapsed = read_window(KEYS[1], window)
if used + amount <= limit then
  if amount > 0 then
    this = this + amount
    redis.call('HSET', KEYS[1], 'window', string.format('%.0f', number), 'this', this, 'last', last)
    redis.call('PEXPIRE', KEYS[1], window * 2)
  end
  return {1, math.ceil(used + amount), 0}
end
local wait = window - elapsed
local over = used + amount - limit
if last > 0 and over * window / last < wait then
  wait = over * window / last
end
return {0, math.ceil(used), math.max(1, math.ceil(wait))}
