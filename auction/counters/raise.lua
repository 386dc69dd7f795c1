-- Let windows of caps on pings count more than they do: leases are known of that the counters forgot.
--
-- KEYS  1, 2: see places.lua
-- ARGV  1 now_ms   2... windows, for each  name, end_ms of its count (see places.lua), what it was seen to count,
--       what it is to count: not less
-- reply 1 | 0 one of them moved on since: nothing is changed

for at = 2, #ARGV, 4 do
  if (redis.call('HGET', counts, ARGV[at]) or '0') ~= ARGV[at + 2] then
    return 0
  end
end
for at = 2, #ARGV, 4 do
  redis.call('HSET', counts, ARGV[at], ARGV[at + 3])
  redis.call('ZADD', ends, ARGV[at + 1], ARGV[at])
end
return 1
