-- Gives up the claim on tickets, as far as it is still this match's.
-- KEYS: prefix. ARGV: token, tickets ...
local prefix, token = KEYS[1], ARGV[1]
for i = 2, #ARGV do
  local claim = prefix .. 'claim:' .. ARGV[i]
  if redis.call('GET', claim) == token then
    redis.call('DEL', claim)
  end
end
redis.call('DEL', prefix .. 'match:' .. token)
return ''
