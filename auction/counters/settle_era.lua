-- The counters were made to say what the ledger says: from now on they are good for this run of the server.
-- Only while the rebuild's mark stands: if all keys were lost meanwhile, so was what was rebuilt.
--
-- KEYS  1 house: hash  ledger, counters (ids), run (of the server), at (ms)   2 mark of the rebuild
-- ARGV  1 mark   2 ledger   3 counters   4 run   5 now_ms
-- reply 1 | 0 the mark is gone, or another's

if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'ledger', ARGV[2], 'counters', ARGV[3], 'run', ARGV[4], 'at', ARGV[5])
redis.call('DEL', KEYS[2])
return 1
