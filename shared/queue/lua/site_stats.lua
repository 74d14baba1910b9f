-- {name depth oldest_ms slots limit paused_ms stopped} of up to `limit` sites.
-- KEYS p parts   ARGV limit
local result = {}
local sids = redis.call('SRANDMEMBER', p .. 'all', ARGV[1])
for _, sid in ipairs(sids) do
  local first = redis.call('ZRANGE', queue_of(sid), 0, 0, 'WITHSCORES')
  local meta = redis.call('HMGET', meta_of(sid), 'name', 'limit', 'paused', 'stopped')
  result[#result + 1] = {
    meta[1] or '', redis.call('ZCARD', queue_of(sid)), first[2] or '',
    redis.call('ZCOUNT', slots_of(sid), whole(now), '+inf'), meta[2] or '1', meta[3] or '0', meta[4] or '0'}
end
return result
