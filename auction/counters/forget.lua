-- Remove a ping's marker, so that the same ping is auctioned anew. Only if it is this ping's own.
--
-- KEYS  1 marker of the fingerprint (its form: admit.lua)
-- ARGV  1 ping_id
-- reply 1 removed | 0 the marker is not this ping's

local mark = redis.call('GET', KEYS[1])
if not mark or string.match(mark, '^%u%d+ (%S+) ') ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
