-- Take items out for good; with a time (ms) the entry is put off until then as well.
-- KEYS p parts delayed refs   ARGV sid token (item generation entry reference due)...
for i = 3, #ARGV, 5 do
  local item, generation, entry, due = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 4]
  if due ~= '' then
    redis.call('ZADD', KEYS[3], 'LT', due, entry)
    redis.call('HSET', KEYS[4], entry, ARGV[i + 3])
  end
  redis.call('HDEL', held_by(ARGV[1], ARGV[2]), item)
  remove_item(item, generation)
end
return redis.status_reply('OK')
