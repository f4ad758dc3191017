-- Has an assigned ticket be remembered for the whole time again.
-- KEYS: prefix. ARGV: id, now in us, ms for which its match is remembered as its players'
-- last, then the players.
-- Returns 1 if it was there.
local first_player = 4 -- of ARGV; the others follow
local prefix, id = KEYS[1], ARGV[1]
local member = redis.call('HGET', prefix .. 't:' .. id, 'm')
if not member or not redis.call('ZSCORE', prefix .. 'assigned', member) then
  return 0
end
redis.call('ZADD', prefix .. 'assigned', ARGV[2], member)
for i = first_player, #ARGV do
  local last = redis.call('GET', prefix .. 'played:' .. ARGV[i])
  if not last or last == id then
    redis.call('SET', prefix .. 'played:' .. ARGV[i], id, 'PX', ARGV[3])
  end
end
return 1
