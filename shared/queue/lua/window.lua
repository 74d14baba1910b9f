-- A sliding window: this fixed window plus the share of the last one that is still in it.
-- Returns used, the counts of this one and the last, its number, and the ms since it began.
local function read_window(key, window)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local number = math.floor(now / window)
  local elapsed = now - number * window
  local stored = redis.call('HMGET', key, 'window', 'this', 'last')
  local this, last = tonumber(stored[2] or '0'), tonumber(stored[3] or '0')
  local behind = number - tonumber(stored[1] or '0')
  if behind == 1 then
    this, last = 0, this
  elseif behind ~= 0 then
    this, last = 0, 0
  end
  return this + last * (window - elapsed) / window, this, last, number, elapsed
end
