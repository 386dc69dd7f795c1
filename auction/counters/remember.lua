-- Store the answer of a ping under its marker, for repeats of it to get until `until_ms`.
-- Only while the marker is this ping's own: after its lease another ping may have taken its place.
--
-- KEYS  1 marker of the fingerprint (its form: admit.lua)
-- ARGV  1 now_ms   2 ping_id   3 until_ms   4 answer
-- reply 1 stored | 0 the marker is not this ping's

local mark = redis.call('GET', KEYS[1])
if not mark or string.match(mark, '^%u%d+ (%S+) ') ~= ARGV[2] then
  return 0
end
local left = math.max(0, tonumber(ARGV[3]) - tonumber(ARGV[1]))
redis.call('SET', KEYS[1], 'A' .. ARGV[3] .. ' ' .. ARGV[2] .. ' ' .. ARGV[4], 'PX', left + 60000)
return 1
