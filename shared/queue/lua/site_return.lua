-- Put single items back to their old places without counting the attempt.
-- KEYS p parts   ARGV sid token item...
local sid, token = ARGV[1], ARGV[2]
for i = 3, #ARGV do
  local item = ARGV[i]
  local value = redis.call('HGET', held_by(sid, token), item)
  if value then
    local generation, score = string.match(value, '^(%d+):(%d+)$')
    redis.call('HDEL', held_by(sid, token), item)
    if read_item(item) == generation then
      redis.call('ZADD', queue_of(sid), score, item)
      redis.call('HINCRBY', p .. 'tries', item, -1)
    end
  end
end
if redis.call('ZCARD', slots_of(sid)) < tonumber(redis.call('HGET', meta_of(sid), 'limit') or '1') then
  mark_ready(sid)
end
return redis.status_reply('OK')
