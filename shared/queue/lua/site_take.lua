-- Take items of a leased site, the oldest first: {item generation reference tries}...
-- An error LOST means that the lease is over. A paused or stopped site gives nothing.
-- KEYS p parts   ARGV sid token count
local sid, token = ARGV[1], ARGV[2]
if not redis.call('ZSCORE', slots_of(sid), token) then
  return redis.error_reply('LOST the lease is over')
end
local result = {}
if stopped(sid) or paused_until(sid) > now then
  return result
end
local popped = redis.call('ZPOPMIN', queue_of(sid), ARGV[3])
for i = 1, #popped, 2 do
  local item = popped[i]
  local generation, _, reference = read_item(item)
  if generation then
    redis.call('HSET', held_by(sid, token), item, generation .. ':' .. whole(tonumber(popped[i + 1])))
    local tries = redis.call('HINCRBY', p .. 'tries', item, 1)
    result[#result + 1] = {item, generation, reference, tries}
  end
end
if redis.call('EXISTS', queue_of(sid)) == 0 then
  redis.call('ZREM', p .. 'ready', sid)
end
return result
