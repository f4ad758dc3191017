-- Changes the state of a match: to confirmed, with its match, game server, connection
-- and details, to assigned, to revoked, or by "abandoned" to revoked unless it is assigned.
-- KEYS: prefix. ARGV: token, state, match, game server, connection, details.
-- Returns the state after that, or an empty string if there is no such match.
local match = KEYS[1] .. 'match:' .. ARGV[1]
local state = redis.call('HGET', match, 's')
if not state then
  return ''
end
if state == 'revoked' then
  return state
end
if ARGV[2] == 'confirmed' then
  redis.call('HSET', match, 'm', ARGV[3], 'g', ARGV[4], 'c', ARGV[5], 'd', ARGV[6])
  if state == 'assigned' then
    return state
  end
end
local to = ARGV[2]
if to == 'abandoned' then
  to = state == 'assigned' and state or 'revoked'
end
redis.call('HSET', match, 's', to)
return to
