-- Notes that a frontend is alive, or with an empty name only looks, by Redis's clock.
-- KEYS: prefix. ARGV: name, ms after which a frontend that was not heard of is dead.
-- Returns the names of those that are alive.
local list = KEYS[1] .. 'frontends'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' then
  redis.call('ZADD', list, now, ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', list, '-inf', now - ARGV[2])
return redis.call('ZRANGE', list, 0, -1)
