-- Forgets what ended at a time or before, so many at most.
-- KEYS: prefix. ARGV: assigned or ended, time in us, how many.
-- Returns how many it has forgotten.
local list = KEYS[1] .. ARGV[1]
local old = redis.call('ZRANGEBYSCORE', list, '-inf', ARGV[2], 'LIMIT', '0', ARGV[3])
for _, member in ipairs(old) do
  redis.call('ZREM', list, member)
  local ticket = KEYS[1] .. 't:' .. string.sub(member, 17)
  local asked = redis.call('HGET', ticket, 'r')
  if asked then
    redis.call('DEL', KEYS[1] .. 'request:' .. asked)
  end
  redis.call('DEL', ticket)
end
return #old
