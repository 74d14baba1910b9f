-- Move delayed entries that are due to the stream; returns how many moved.
-- One that is in the stream already (a part of it was put off while the rest is being worked on)
-- is looked at again a little later: its worker may have read its recipients before this one was due.
-- KEYS stream queued delayed refs   ARGV now limit again_ms
local moved = 0
local due = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, entry in ipairs(due) do
  if redis.call('HEXISTS', KEYS[2], entry) == 1 then
    redis.call('ZADD', KEYS[3], string.format('%.0f', tonumber(ARGV[1]) + tonumber(ARGV[3])), entry)
  else
    local reference = redis.call('HGET', KEYS[4], entry)
    if reference then
      local id = redis.call('XADD', KEYS[1], '*', 'e', entry, 'r', reference, 'n', '0')
      redis.call('HSET', KEYS[2], entry, id)
      moved = moved + 1
    end
    redis.call('ZREM', KEYS[3], entry)
    redis.call('HDEL', KEYS[4], entry)
  end
end
return moved
