-- Take items out for good; with a time (ms) the entry is put off until then as well.
-- KEYS p parts delayed refs
-- ARGV sid token, then for each item one text, its fields on lines of their own: item generation,
-- and where it is put off: entry reference due
local held, gone = {}, {}
for i = 3, #ARGV do
  local fields = fields_of(ARGV[i])
  local item, generation, entry = fields[1], fields[2], fields[3]
  if entry then
    redis.call('ZADD', KEYS[3], 'LT', fields[5], entry)
    redis.call('HSET', KEYS[4], entry, fields[4])
  end
  held[#held + 1] = item
  local sid = remove_item(item, generation)
  if sid then
    gone[sid] = true
  end
end
if #held > 0 then
  redis.call('HDEL', held_by(ARGV[1], ARGV[2]), unpack(held))
end
for sid in pairs(gone) do
  forget_if_idle(sid)
end
return redis.status_reply('OK')
