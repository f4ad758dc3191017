-- Takes one call of a key, if there is one, by Redis's clock.
-- KEYS: the key, which has the time in us at which its bucket is full again. ARGV: us for
-- each call, calls at once.
-- Returns 0 if it was taken, else in how many us there will be one.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, all = tonumber(ARGV[1]), ARGV[1] * ARGV[2]
local function keep(full)
  redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
end
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if full > now + all then -- the clock was set back
  full = now + all
  keep(full)
end
if full + interval > now + all then
  return full + interval - now - all
end
keep(full + interval)
return 0
