-- The post of a ping is answered: repeats of it get this answer. Only the claimant can, and once.
--
-- KEYS  1 ping (its form: open_ping.lua)
-- ARGV  1 claimant   2 answer   3 ms that the answer is kept
-- reply 1 stored | 0 the claim is not this claimant's, or was finished before

local claimant, answer = unpack(redis.call('HMGET', KEYS[1], 'claimant', 'answer'))
if claimant ~= ARGV[1] or answer then
  return 0
end
redis.call('HSET', KEYS[1], 'answer', ARGV[2])
redis.call('HDEL', KEYS[1], 'record', 'claimant', 'lease')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
