-- Forgets what ended at a time or before, so many at most.
-- KEYS: prefix. ARGV: assigned or ended, time in us, how many.
-- Returns how many it has forgotten.
local list = KEYS[1] .. ARGV[1]
local old = redis.call('ZRANGEBYSCORE', list, '-inf', ARGV[2], 'LIMIT', '0', ARGV[3])
for _, member in ipairs(old) do
  redis.call('ZREM', list, member)
  local id = string.sub(member, 17)
  local ticket = KEYS[1] .. 't:' .. id
  local found = redis.call('HMGET', ticket, 'r', 'h')
  if found[1] then
    redis.call('DEL', KEYS[1] .. 'request:' .. found[1])
  end
  for player in string.gmatch(found[2] or '', '[^\n]+') do
    if redis.call('GET', KEYS[1] .. 'played:' .. player) == id then
      redis.call('DEL', KEYS[1] .. 'played:' .. player)
    end
  end
  redis.call('DEL', ticket)
end
return #old
