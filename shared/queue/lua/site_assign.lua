-- Move entries' work from the relay's stream to the sites, one item for each (entry, domain).
-- Items that exist already are left as they are; if a worker has one in hand, it may have read the
-- recipients before the ones that are due now, so the entry comes back to the stream a little later.
-- An entry's token goes last, so that whoever dies between two calls leaves the entry leased and it is
-- assigned again. Returns how many items are new.
-- KEYS p parts stream queued delayed refs
-- ARGV group count, count times sid name limit, then for each entry one text, its fields on lines of their own:
-- token or -, entry, reference, due or -, and for each item domain and the site's place among those before
local HELD_AGAIN_MS = 5000
local group = ARGV[1]
local sids, tokens = {}, {}
local added = 0

local function put_off(entry, reference, due)
  redis.call('ZADD', KEYS[5], 'LT', due, entry)
  redis.call('HSET', KEYS[6], entry, reference)
end

local function assign(entry, reference, domain, sid)
  local item = entry .. ':' .. domain
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
end

local function assign_entry(fields)
  local token, entry, reference, due = fields[1], fields[2], fields[3], fields[4]
  for i = 5, #fields, 2 do
    assign(entry, reference, fields[i], sids[tonumber(fields[i + 1])])
  end
  if due ~= '-' then
    put_off(entry, reference, due)
  end
  if token ~= '-' then
    tokens[#tokens + 1] = token
    if redis.call('HGET', KEYS[4], entry) == token then
      redis.call('HDEL', KEYS[4], entry)
    end
  end
end

local first = 3 + 3 * tonumber(ARGV[2])
for i = 3, first - 1, 3 do
  local sid = ARGV[i]
  sids[#sids + 1] = sid
  redis.call('HSET', meta_of(sid), 'name', ARGV[i + 1], 'limit', ARGV[i + 2])
  redis.call('PERSIST', meta_of(sid))
  redis.call('SADD', p .. 'all', sid)
end
for i = first, #ARGV do
  assign_entry(fields_of(ARGV[i]))
end
for _, sid in ipairs(sids) do
  mark_ready(sid)
  forget_if_idle(sid)
end
if #tokens > 0 then
  redis.call('XACK', KEYS[3], group, unpack(tokens))
  redis.call('XDEL', KEYS[3], unpack(tokens))
end
return added
