-- Open a ping to be posted against until `until_ms`. Its record outlives that by 10 minutes, so that a late
-- post can be told apart from an unknown one.
--
-- KEYS  1 ping: hash  record, until; claimed: claimant, body, lease; finished: answer, body
-- ARGV  1 now_ms   2 until_ms   3 record
-- reply 1 opened, with this record | 0 it was claimed or answered already (nothing is changed)

local claimant, answer = unpack(redis.call('HMGET', KEYS[1], 'claimant', 'answer'))
if claimant or answer then
  return 0
end
redis.call('HSET', KEYS[1], 'until', ARGV[2], 'record', ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.max(0, tonumber(ARGV[2]) - tonumber(ARGV[1])) + 600000)
return 1
