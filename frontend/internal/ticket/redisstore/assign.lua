-- Finds the ticket that has this one in Open Match. If there is none, and tickets
-- are being created, the assignment is kept for the one that it may be for.
-- KEYS: prefix. ARGV: Open Match ticket, connection, details, ms to keep.
-- Returns the id, or an empty string.
local prefix = KEYS[1]
local id = redis.call('GET', prefix .. 'om:' .. ARGV[1])
if id then
  return id
end
if redis.call('ZCARD', prefix .. 'creating') > 0 then
  local early = prefix .. 'early:' .. ARGV[1]
  redis.call('HSET', early, 'c', ARGV[2], 'd', ARGV[3])
  redis.call('PEXPIRE', early, ARGV[4])
end
return ''
