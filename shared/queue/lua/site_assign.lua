-- Move entries' work from the relay's stream to the sites, one item for each (entry, domain).
-- Items that exist already are left as they are; if a worker has one in hand, it may have read the
-- recipients before the ones that are due now, so the entry comes back to the stream a little later.
-- An entry's token goes last, so that whoever dies between two calls leaves the entry leased and it is
-- assigned again. Returns how many items are new.
-- KEYS p parts stream queued delayed refs
-- ARGV group, then for each entry: token entry reference due count, and count times domain sid name limit
local HELD_AGAIN_MS = 5000
local group = ARGV[1]
local added = 0

local function put_off(entry, reference, due)
  redis.call('ZADD', KEYS[5], 'LT', due, entry)
  redis.call('HSET', KEYS[6], entry, reference)
end

local function assign(entry, reference, domain, sid, name, limit)
  local item = entry .. ':' .. domain
  redis.call('HSET', meta_of(sid), 'name', name, 'limit', limit)
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
    put_off(entry, reference, whole(now + HELD_AGAIN_MS))
  end
  mark_ready(sid)
  forget_if_idle(sid)
end

local i = 2
while i <= #ARGV do
  local token, entry, reference, due, count = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], tonumber(ARGV[i + 4])
  i = i + 5
  for _ = 1, count do
    assign(entry, reference, ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
    i = i + 4
  end
  if due ~= '' then
    put_off(entry, reference, due)
  end
  if token ~= '' then
    redis.call('XACK', KEYS[3], group, token)
    redis.call('XDEL', KEYS[3], token)
    if redis.call('HGET', KEYS[4], entry) == token then
      redis.call('HDEL', KEYS[4], entry)
    end
  end
end
return added
