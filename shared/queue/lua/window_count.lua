-- Count in a sliding window: this fixed window plus the share of the last one that is still in it.
-- Refused amounts are not counted. Returns {allowed, used, ms until the next would be allowed}.
-- KEYS counter   ARGV limit window_ms amount
local limit, window, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local number = math.floor(now / window)
local elapsed = now - number * window
local stored = redis.call('HMGET', KEYS[1], 'window', 'this', 'last')
local this, last = tonumber(stored[2] or '0'), tonumber(stored[3] or '0')
local behind = number - tonumber(stored[1] or '0')
if behind == 1 then
  this, last = 0, this
elseif behind ~= 0 then
  this, last = 0, 0
end
local used = this + last * (window - elapsed) / window
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
