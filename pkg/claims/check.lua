-- Says of each ticket whether an assignment of it may be delivered. A match that is
-- delivered to a player cannot be revoked any more: it is assigned from then on. One
-- whose time is over is revoked: its director may have been paused, and its server be
-- given back. Its tickets were assigned to something, and are not matched again by
-- themselves, unless they are in a match that was fetched before: see retire.
-- One that is assigned although Redis has lost what (a failover can) is as unclaimed:
-- Open Match's word counts.
-- KEYS: prefix. ARGV: match, game server, tickets ...
-- A claim that holds something else, as of another version, is unreadable, and keeps no other
-- ticket from its match.
-- Returns three texts for each ticket: unclaimed, deliver, wait, revoked or unreadable, and
-- what to deliver: connection and details.
local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
for i = 3, #ARGV do
  local verdict, connection, details = 'unclaimed', '', ''
  local token = redis.pcall('GET', prefix .. 'claim:' .. ARGV[i])
  local key, match, state
  if token == 'retired' then
    match, state = {}, 'revoked'
  elseif type(token) == 'string' then
    key = prefix .. 'match:' .. token
    match = redis.pcall('HMGET', key, 's', 'm', 'g', 'c', 'd', 'u')
    state = match[1]
  end
  if token and (not match or match.err or (state == 'held' or state == 'confirmed') and not tonumber(match[6])) then
    verdict = 'unreadable'
  elseif token then
    if (state == 'held' or state == 'confirmed') and tonumber(match[6]) <= now then
      redis.call('HSET', key, 's', 'revoked')
      state = 'revoked'
    elseif state == 'confirmed' and match[2] == ARGV[1] and match[3] == ARGV[2] then
      redis.call('HSET', key, 's', 'assigned')
      state = 'assigned'
    end
    if state == 'assigned' and match[3] and match[4] and match[5] then
      verdict, connection, details = 'deliver', match[4], match[5]
    elseif state == 'assigned' and match[3] then
      verdict = 'unreadable'
    elseif state == 'revoked' then
      verdict = 'revoked'
    elseif state and state ~= 'assigned' then
      verdict = 'wait'
    end
  end
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = verdict, connection, details
end
return answer
