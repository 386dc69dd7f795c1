-- A claim is given up: nothing was offered, and the ping can be posted again while it lives.
--
-- KEYS  1 ping (its form: open_ping.lua)
-- ARGV  1 claimant
-- reply 1 given up | 0 the claim is not this claimant's

if redis.call('HGET', KEYS[1], 'claimant') ~= ARGV[1] then
  return 0
end
redis.call('HDEL', KEYS[1], 'claimant', 'body', 'lease')
return 1
