-- Move an entry's work from the relay's stream to the sites, one item for each (entry, domain).
-- Items that exist already are left as they are; if a worker has one in hand, it may have read the
-- recipients before the ones that are due now, so the entry comes back to the stream a little later. The stream's token goes last, so that whoever
-- dies between two calls leaves the entry leased and it is assigned again.
-- KEYS p parts stream queued delayed refs
-- ARGV group token entry reference due (domain sid name limit)...
local HELD_AGAIN_MS = 5000
local group, token, entry, reference, due = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local added = 0
for i = 6, #ARGV, 4 do
  local domain, sid = ARGV[i], ARGV[i + 1]
  local item = entry .. ':' .. domain
  redis.call('HSET', meta_of(sid), 'name', ARGV[i + 2], 'limit', ARGV[i + 3])
  redis.call('PERSIST', meta_of(sid))
  redis.call('SADD', p .. 'all', sid)
  local _, queued_at = read_item(item)
  if not queued_at then
    local generation = redis.call('INCR', p .. 'generation')
    redis.call('HSET', p .. 'items', item, generation .. ':' .. sid .. ':' .. reference)
    redis.call('SADD', parts .. entry, domain)
    redis.call('ZADD', queue_of(sid), whole(now), item)
    added = added + 1
  elseif not redis.call('ZSCORE', queue_of(queued_at), item) then
    redis.call('ZADD', KEYS[5], 'LT', whole(now + HELD_AGAIN_MS), entry)
    redis.call('HSET', KEYS[6], entry, reference)
  end
  mark_ready(sid)
  forget_if_idle(sid)
end
if due ~= '' then
  redis.call('ZADD', KEYS[5], 'LT', due, entry)
  redis.call('HSET', KEYS[6], entry, reference)
end
if token ~= '' then
  redis.call('XACK', KEYS[3], group, token)
  redis.call('XDEL', KEYS[3], token)
  if redis.call('HGET', KEYS[4], entry) == token then
    redis.call('HDEL', KEYS[4], entry)
  end
end
return added
