-- What is counted in some windows now, dead holds not among it.
--
-- KEYS  see places.lua
-- ARGV  1 now_ms   2... names
-- reply {count (text, or nil for 0), ...} in the order of the names

purge_all()
return redis.call('HMGET', counts, unpack(ARGV, 2))
