-- Open a ping to be posted against until `until_ms`. Its record outlives that by 10 minutes, so that a late
-- post can be told apart from an unknown one.
--
-- KEYS  1 ping: hash  record, until; claimed: claimant, body, lease; finished: answer, body
-- ARGV  1 now_ms   2 until_ms   3 record
-- reply 1 opened | 0 it was claimed already (nothing is changed)

if redis.call('HEXISTS', KEYS[1], 'claimant') == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'until', ARGV[2], 'record', ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.max(0, tonumber(ARGV[2]) - tonumber(ARGV[1])) + 600000)
return 1
