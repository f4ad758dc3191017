-- Claims all tickets of a match, or none. A claim whose match has not been assigned
-- in time is taken over, and that match is revoked as a whole. What was taken over is
-- noted, for drop. A ticket in whose place another one was made is nobody's.
-- KEYS: prefix. ARGV: token, ms to hold, ms to keep, then the tickets.
-- Returns {'claimed'}, {'revoked'}, or {'taken', ms until it can be taken over or -1,
-- tickets ...}.
local prefix, token = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local own = redis.call('HGET', prefix .. 'match:' .. token, 's')
if own == 'revoked' then
  return {'revoked'}
end
if own then
  return {'claimed'} -- it was, and the answer was lost
end
local stale, over, taken, wait = {}, {}, {}, 0
for i = 4, #ARGV do
  local holder = redis.call('GET', prefix .. 'claim:' .. ARGV[i])
  if holder == 'retired' then
    taken[#taken + 1], wait = ARGV[i], -1
  elseif holder then
    local match = redis.call('HMGET', prefix .. 'match:' .. holder, 's', 'u')
    local left = tonumber(match[2] or 0) - now
    if match[1] == 'assigned' then
      taken[#taken + 1], wait = ARGV[i], -1
    elseif match[1] and match[1] ~= 'revoked' and left > 0 then
      taken[#taken + 1] = ARGV[i]
      if wait >= 0 then
        wait = math.max(wait, left)
      end
    elseif match[1] then
      stale[holder], over[#over + 1] = true, ARGV[i]
    end
  end
end
if #taken > 0 then
  return {'taken', tostring(wait), unpack(taken)}
end
for holder in pairs(stale) do
  redis.call('HSET', prefix .. 'match:' .. holder, 's', 'revoked')
end
for i = 4, #ARGV do
  redis.call('SET', prefix .. 'claim:' .. ARGV[i], token, 'PX', ARGV[3])
end
redis.call('HSET', prefix .. 'match:' .. token, 's', 'held', 'u', string.format('%.0f', now + ARGV[2]))
for _, ticket in ipairs(over) do
  redis.call('HSET', prefix .. 'match:' .. token, 'o:' .. ticket, '1')
end
redis.call('PEXPIRE', prefix .. 'match:' .. token, ARGV[3])
return {'claimed'}
