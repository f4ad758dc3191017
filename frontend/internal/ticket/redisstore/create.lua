-- Adds a ticket in state Creating, or with a party in state Gathering.
-- KEYS: prefix. ARGV: id, state, players' ticket (protobuf), now in ns, now in us,
-- most tickets, code of the party or empty, party (JSON) or empty, 1 if tickets that
-- nobody asks for are ended, key of the request, digest of how it is written and digest
-- of what it asks for, or empty, group of the queue or empty, queue, seat, then the
-- players.
-- Returns {'created'}, {'repeated', id of the ticket that the request has made, 1 if it
-- had one of these digests}, {'conflict', index of the player, id of their ticket of
-- the same seat} or {'full'}.
local first_player = 16 -- of ARGV; the others follow
local prefix, id, queue, seat = KEYS[1], ARGV[1], ARGV[14], ARGV[15]
local ticket = prefix .. 't:' .. id
if redis.call('EXISTS', ticket) == 1 then
  return {'created'} -- it was, and the answer was lost
end
local request = prefix .. 'request:' .. ARGV[10]
if ARGV[10] ~= '' then
  local made = redis.call('GET', request)
  local digests = made and redis.call('HMGET', prefix .. 't:' .. made, 'rd', 'ra')
  if digests and digests[1] then
    -- Frontends of earlier versions keep and compare 'rd' alone, of how the request is written.
    for _, digest in ipairs({ARGV[11], ARGV[12]}) do
      if digest == digests[1] or digest == digests[2] then
        return {'repeated', made, '1'}
      end
    end
    return {'repeated', made, '0'}
  end
end
for i = first_player, #ARGV do
  local other = redis.call('HGET', prefix .. 'seats:' .. ARGV[i], seat)
  if other then
    return {'conflict', tostring(i - first_player), other}
  end
end
local gathering, open, assigned, ended = prefix .. 'gathering', prefix .. 'open', prefix .. 'assigned', prefix .. 'ended'
while redis.call('ZCARD', gathering) + redis.call('ZCARD', open) + redis.call('ZCARD', assigned) + redis.call('ZCARD', ended) >= tonumber(ARGV[6]) do
  local spared = redis.call('ZPOPMIN', ended)
  if #spared == 0 then
    spared = redis.call('ZPOPMIN', assigned)
  end
  if #spared == 0 then
    return {'full'}
  end
  local forgotten = string.sub(spared[1], 17)
  local found = redis.call('HMGET', prefix .. 't:' .. forgotten, 'r', 'h')
  if found[1] then
    redis.call('DEL', prefix .. 'request:' .. found[1])
  end
  for player in string.gmatch(found[2] or '', '[^\n]+') do
    if redis.call('GET', prefix .. 'played:' .. player) == forgotten then
      redis.call('DEL', prefix .. 'played:' .. player)
    end
  end
  redis.call('DEL', prefix .. 't:' .. forgotten)
end
-- The sequence keeps tickets of the same time in their order.
local member = string.format('%016x', redis.call('INCR', prefix .. 'sequence')) .. id
redis.call('HSET', ticket, 'v', '1', 's', ARGV[2], 'p', ARGV[3], 'n', ARGV[4], 'u', ARGV[4], 'm', member)
if ARGV[10] ~= '' then
  redis.call('HSET', ticket, 'r', ARGV[10], 'rd', ARGV[11])
  if ARGV[12] ~= ARGV[11] then
    redis.call('HSET', ticket, 'ra', ARGV[12])
  end
  redis.call('SET', request, id)
end
if ARGV[13] ~= '' then
  redis.call('HSET', ticket, 'k', ARGV[13])
end
if ARGV[9] == '1' then
  redis.call('ZADD', prefix .. 'seen', ARGV[5], id)
end
if ARGV[7] == '' then
  redis.call('ZADD', open, ARGV[5], member)
  redis.call('ZADD', prefix .. 'waiting:' .. queue, ARGV[5], member)
  redis.call('ZADD', prefix .. 'creating', ARGV[5], id)
else
  redis.call('HSET', ticket, 'g', ARGV[8])
  redis.call('ZADD', gathering, ARGV[5], member)
  redis.call('SET', prefix .. 'code:' .. ARGV[7], id)
end
for i = first_player, #ARGV do
  redis.call('HSET', prefix .. 'seats:' .. ARGV[i], seat, id)
end
return {'created'}
