-- back_off: nothing is sent to the site before a time; stop and resume are the operator's.
-- KEYS p parts   ARGV back_off|stop|resume sid name until
local verb, sid = ARGV[1], ARGV[2]
local meta = meta_of(sid)
redis.call('HSET', meta, 'name', ARGV[3])
redis.call('PERSIST', meta)
if verb == 'back_off' then
  local ends = math.max(tonumber(ARGV[4]), paused_until(sid))
  redis.call('HSET', meta, 'paused', whole(ends))
  redis.call('ZADD', p .. 'ready', 'XX', whole(math.max(now, ends)), sid)
elseif verb == 'stop' then
  redis.call('HSET', meta, 'stopped', '1')
  redis.call('SADD', p .. 'all', sid)
  redis.call('ZREM', p .. 'ready', sid)
else
  redis.call('HDEL', meta, 'stopped', 'paused')
  redis.call('ZREM', p .. 'ready', sid)
  mark_ready(sid)
end
forget_if_idle(sid)
return redis.status_reply('OK')
