-- Who bought leads like this one, and when last.
--
-- KEYS  what it is known by (their form: bought.lua)
-- reply {{who, at_ms, who, at_ms...} for each key}

local found = {}
for at, key in ipairs(KEYS) do
  found[at] = redis.call('HGETALL', key)
end
return found
