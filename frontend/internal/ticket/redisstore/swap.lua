-- Changes a ticket if it still has the version that the caller has read.
-- KEYS: prefix. ARGV: id, version, id of this change, class of the state before
-- and after (gathering, creating, attached, lost, assigned, ended or none), state
-- after, Open Match ticket before and after, updated in ns and us, now in us,
-- connection and details of the assignment, 1 if players see it, players' ticket
-- (protobuf) and party (JSON) if they are others than before, code of the party, player
-- who joins and player who leaves, each or empty, ms for which the match of an assigned
-- ticket is remembered as its players' last, why it was cancelled or has expired, or empty, queue, wait, how many waits are remembered
-- and for how many ms, acceptance (JSON) if it is another than before or empty, when it is
-- over in us or empty for none, seat, then all players.
-- Returns {'done', for one that was assigned the other tickets of its players}, {'gone'},
-- {'changed'}, {'seat', id of the other ticket} if who joins has another one of the
-- same seat or, for a ticket that is attached and whose assignment came before,
-- {'early', connection, details}.
local first_player = 29 -- of ARGV; the others follow
local prefix, id, queue, seat = KEYS[1], ARGV[1], ARGV[22], ARGV[28]
local ticket = prefix .. 't:' .. id
local before, after = ARGV[4], ARGV[5]
local found = redis.call('HMGET', ticket, 'v', 'o', 'm')
if not found[1] then
  return {'gone'}
end
local function done()
  local answer = {'done'}
  for i = first_player, after == 'assigned' and #ARGV or 0 do
    for _, other in ipairs(redis.call('HVALS', prefix .. 'seats:' .. ARGV[i])) do
      if other ~= id then
        table.insert(answer, other)
      end
    end
  end
  return answer
end
if found[2] == ARGV[3] then
  return done() -- it was, and the answer was lost
end
if found[1] ~= ARGV[2] then
  return {'changed'}
end
if after == 'attached' and before ~= 'attached' then
  local early = redis.call('HMGET', prefix .. 'early:' .. ARGV[8], 'c', 'd')
  if early[1] then
    return {'early', early[1], early[2]}
  end
end
if ARGV[18] ~= '' then
  local other = redis.call('HGET', prefix .. 'seats:' .. ARGV[18], seat)
  if other and other ~= id then
    return {'seat', other}
  end
  redis.call('HSET', prefix .. 'seats:' .. ARGV[18], seat, id)
end
local function give_back(player)
  if redis.call('HGET', prefix .. 'seats:' .. player, seat) == id then
    redis.call('HDEL', prefix .. 'seats:' .. player, seat)
  end
end
if ARGV[19] ~= '' then
  give_back(ARGV[19])
end
local member = found[3]
if before == 'gathering' and after ~= 'gathering' then
  redis.call('ZREM', prefix .. 'gathering', member)
  if after == 'creating' then
    redis.call('ZADD', prefix .. 'open', ARGV[11], member)
    redis.call('ZADD', prefix .. 'waiting:' .. queue, ARGV[11], member)
  end
end
if before == 'attached' then
  redis.call('DEL', prefix .. 'om:' .. ARGV[7])
end
if before == 'creating' then
  redis.call('ZREM', prefix .. 'creating', id)
end
if after == 'attached' then
  redis.call('SET', prefix .. 'om:' .. ARGV[8], id)
end
if after == 'creating' then
  redis.call('ZADD', prefix .. 'creating', ARGV[11], id)
end
if ARGV[27] ~= '' then
  redis.call('ZADD', prefix .. 'accepting', ARGV[27], id)
elseif before == 'attached' then
  redis.call('ZREM', prefix .. 'accepting', id)
end
if after == 'assigned' or after == 'ended' or after == 'none' then
  redis.call('ZREM', prefix .. 'open', member)
  redis.call('ZREM', prefix .. 'waiting:' .. queue, member)
  redis.call('ZREM', prefix .. 'seen', id)
  if ARGV[17] ~= '' then
    redis.call('DEL', prefix .. 'code:' .. ARGV[17])
  end
  for i = first_player, #ARGV do
    give_back(ARGV[i])
    if after == 'assigned' then
      redis.call('SET', prefix .. 'played:' .. ARGV[i], id, 'PX', ARGV[20])
    end
  end
end
if after == 'assigned' then
  local waits = prefix .. 'waits:' .. queue
  redis.call('LPUSH', waits, ARGV[23])
  redis.call('LTRIM', waits, 0, ARGV[24] - 1)
  redis.call('PEXPIRE', waits, ARGV[25])
end
if after == 'none' then
  local asked = redis.call('HGET', ticket, 'r')
  if asked then
    redis.call('DEL', prefix .. 'request:' .. asked)
  end
  redis.call('DEL', ticket)
else
  redis.call('HSET', ticket, 'v', tostring(tonumber(ARGV[2]) + 1), 'o', ARGV[3], 's', ARGV[6], 'om', ARGV[8], 'u', ARGV[9])
  if ARGV[15] ~= '' then
    redis.call('HSET', ticket, 'p', ARGV[15], 'g', ARGV[16])
  end
  if ARGV[21] ~= '' then
    redis.call('HSET', ticket, 'e', ARGV[21])
  end
  if ARGV[26] ~= '' then
    redis.call('HSET', ticket, 'q', ARGV[26])
  end
  if after == 'assigned' then
    redis.call('HSET', ticket, 'c', ARGV[12], 'd', ARGV[13], 'h', table.concat(ARGV, '\n', first_player))
  end
  if after == 'assigned' or after == 'ended' then
    redis.call('ZADD', prefix .. after, ARGV[10], member)
  end
end
if ARGV[14] == '1' then
  redis.call('PUBLISH', prefix .. 'changed', id)
end
return done()
