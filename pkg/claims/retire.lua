-- Has nobody claim a ticket any more, as another one is made in its place: a match with it
-- may have been fetched before it was assigned. A match that holds the ticket has to end
-- first; one whose time is over is revoked, as by check.
-- KEYS: prefix. ARGV: ticket, ms to keep, '1' if it does not matter that its match is assigned.
-- Returns 1, or 0 if a match holds it.
local claim = KEYS[1] .. 'claim:' .. ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local token = redis.pcall('GET', claim)
if type(token) == 'string' then
  local key = KEYS[1] .. 'match:' .. token
  local match = redis.pcall('HMGET', key, 's', 'u')
  local state, left = match[1], (tonumber(match[2]) or 0) - now
  if state == 'assigned' and ARGV[3] ~= '1' or (state == 'held' or state == 'confirmed') and left > 0 then
    return 0
  end
  if state == 'held' or state == 'confirmed' then
    redis.call('HSET', key, 's', 'revoked')
  end
end
redis.call('SET', claim, 'retired', 'PX', ARGV[2])
-- Frontends of earlier versions look for the match of that name, and have to find that it
-- is not played.
local none = KEYS[1] .. 'match:retired'
redis.call('HSET', none, 's', 'revoked')
if redis.call('PTTL', none) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', none, ARGV[2])
end
return 1
