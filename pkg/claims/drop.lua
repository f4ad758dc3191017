-- Gives up the claim on tickets, as far as it is still this match's. A ticket that was
-- taken over stays with a match that is revoked: the assignment of the match that it was
-- taken from may still arrive, and must not be delivered.
-- KEYS: prefix. ARGV: token, tickets ...
local prefix, token = KEYS[1], ARGV[1]
local match, kept = prefix .. 'match:' .. token, false
for i = 2, #ARGV do
  local claim = prefix .. 'claim:' .. ARGV[i]
  if redis.call('GET', claim) == token then
    if redis.call('HEXISTS', match, 'o:' .. ARGV[i]) == 1 then
      kept = true
    else
      redis.call('DEL', claim)
    end
  end
end
if kept then
  redis.call('HSET', match, 's', 'revoked')
else
  redis.call('DEL', match)
end
return ''
