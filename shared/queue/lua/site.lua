-- What the site scripts have in common; it is put before each of them.
--
--   KEYS[1] = p, how the sites' keys begin; KEYS[2] = how the parts of entries begin
--   p:items        hash  item -> generation:sid:reference     an item is entry:domain
--   p:tries        hash  item -> times taken
--   p:generation   counter
--   p:ready        zset  sid -> ms from when a worker may take it; sites with work and a free slot
--   p:leases       zset  sid:token -> ms at which the lease ends; all sites
--   p:all          set   sids with work, a slot in use or stopped by the operator
--   p:wake         list  at most WAKE_LIMIT marks that blocked workers wait for
--   p:<sid>:queue  zset  item -> ms it was assigned at
--   p:<sid>:slots  zset  token -> ms at which the lease ends
--   p:<sid>:meta   hash  name, limit, paused (ms until), stopped
--   p:<sid>:held:<token>  hash  item -> generation:ms it was assigned at
local p = KEYS[1]
local parts = KEYS[2]
local WAKE_LIMIT = 64
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function whole(number)
  return string.format('%.0f', number)
end

local function queue_of(sid) return p .. sid .. ':queue' end
local function slots_of(sid) return p .. sid .. ':slots' end
local function meta_of(sid) return p .. sid .. ':meta' end
local function held_by(sid, token) return p .. sid .. ':held:' .. token end

-- generation, sid and reference of an item, or nil
local function read_item(item)
  local value = redis.call('HGET', p .. 'items', item)
  if not value then
    return nil
  end
  return string.match(value, '^(%d+):(%x+):(.*)$')
end

local function paused_until(sid)
  return tonumber(redis.call('HGET', meta_of(sid), 'paused') or '0')
end

local function stopped(sid)
  return redis.call('HEXISTS', meta_of(sid), 'stopped') == 1
end

-- A site with work is put at the end of the ready list, unless it is there.
local function mark_ready(sid)
  if stopped(sid) or redis.call('EXISTS', queue_of(sid)) == 0 then
    return
  end
  local from = math.max(now, paused_until(sid))
  if redis.call('ZADD', p .. 'ready', 'NX', whole(from), sid) == 1 then
    redis.call('LPUSH', p .. 'wake', '1')
    redis.call('LTRIM', p .. 'wake', 0, WAKE_LIMIT - 1)
  end
end

-- A site with neither work nor workers is forgotten; a pause outlives that until it ends.
local function forget_if_idle(sid)
  if redis.call('EXISTS', queue_of(sid), slots_of(sid)) > 0 or stopped(sid) then
    return
  end
  redis.call('ZREM', p .. 'ready', sid)
  redis.call('SREM', p .. 'all', sid)
  local paused = paused_until(sid)
  if paused > now then
    redis.call('PEXPIREAT', meta_of(sid), whole(paused))
  else
    redis.call('DEL', meta_of(sid))
  end
end

-- End a lease; what it held goes back to its old place. `uncount` takes back the count of the attempt.
local function give_back(sid, token, uncount)
  local held = redis.call('HGETALL', held_by(sid, token))
  for i = 1, #held, 2 do
    local item = held[i]
    local generation, score = string.match(held[i + 1], '^(%d+):(%d+)$')
    if read_item(item) == generation then
      redis.call('ZADD', queue_of(sid), score, item)
      if uncount then
        redis.call('HINCRBY', p .. 'tries', item, -1)
      end
    end
  end
  redis.call('DEL', held_by(sid, token))
  redis.call('ZREM', slots_of(sid), token)
  redis.call('ZREM', p .. 'leases', sid .. ':' .. token)
  mark_ready(sid)
  forget_if_idle(sid)
end

-- End leases whose time is over.
local function expire(limit)
  local over = redis.call('ZRANGEBYSCORE', p .. 'leases', '-inf', '(' .. whole(now), 'LIMIT', 0, limit)
  for _, lease in ipairs(over) do
    local sid, token = string.match(lease, '^(%x+):(%x+)$')
    give_back(sid, token, false)
  end
  return #over
end

-- The fields of one argument: a client's library takes longer for an argument than Lua for a line.
local function fields_of(text)
  local fields = {}
  for field in string.gmatch(text, '[^\n]+') do
    fields[#fields + 1] = field
  end
  return fields
end

-- Take an item out for good if it is still the one that the worker was given; returns its site, which may be idle now.
local function remove_item(item, generation)
  local current, sid = read_item(item)
  if not current or (generation and current ~= generation) then
    return nil
  end
  redis.call('HDEL', p .. 'items', item)
  redis.call('HDEL', p .. 'tries', item)
  redis.call('ZREM', queue_of(sid), item)
  local entry, domain = string.match(item, '^([^:]*):(.*)$')
  redis.call('SREM', parts .. entry, domain)
  return sid
end
