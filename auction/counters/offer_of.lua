-- The newest offer that stands under one of these fingerprints.
--
-- KEYS  markers of fingerprints (their form: admit.lua), one at least
-- ARGV  1 now_ms
-- reply ping_id | '' there is none

local newest, found = -1, ''
for _, mark in ipairs(redis.call('MGET', unpack(KEYS))) do
  if mark then
    local kind, till, ping_id = string.match(mark, '^(%u)(%d+) (%S+) ')
    till = tonumber(till)
    if kind == 'A' and till >= tonumber(ARGV[1]) and till > newest then
      newest, found = till, ping_id
    end
  end
end
return found
