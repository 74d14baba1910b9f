-- Lease a slot of the site that has been ready longest; returns {sid, name} or nil.
-- A paused site lies further back in the list: see mark_ready and site_pause.
-- KEYS p parts   ARGV token lease_ms spread_ms
local CANDIDATES = 64  -- looked at in one call; each that can't be taken leaves the list
local EXPIRE_LIMIT = 64
local token = ARGV[1]
expire(EXPIRE_LIMIT)
for _ = 1, CANDIDATES do
  local sid = redis.call('ZRANGEBYSCORE', p .. 'ready', '-inf', whole(now), 'LIMIT', 0, 1)[1]
  if not sid then
    return nil
  end
  local limit = tonumber(redis.call('HGET', meta_of(sid), 'limit') or '1')
  local used = redis.call('ZCARD', slots_of(sid))
  if stopped(sid) or redis.call('EXISTS', queue_of(sid)) == 0 or used >= limit then
    redis.call('ZREM', p .. 'ready', sid)
    forget_if_idle(sid)
  else
    local ends = whole(now + tonumber(ARGV[2]))
    redis.call('ZADD', slots_of(sid), ends, token)
    redis.call('ZADD', p .. 'leases', ends, sid .. ':' .. token)
    if used + 1 >= limit then
      redis.call('ZREM', p .. 'ready', sid)
    else
      -- another connection only if this one hasn't emptied the queue by then
      redis.call('ZADD', p .. 'ready', whole(now + tonumber(ARGV[3])), sid)
    end
    return {sid, redis.call('HGET', meta_of(sid), 'name') or ''}
  end
end
return nil
