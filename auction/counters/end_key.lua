-- A request under a key is answered, or came to no answer: then its key is free. Only its owner can end it, and once.
--
-- KEYS  see begin_key.lua
-- ARGV  1 now_ms   2 name   3 owner   4 until_ms   5 answer (left out: the key is free)
-- reply 1 ended | 0 the key is not the owner's (any more)

local keys, ends, bytes = KEYS[1], KEYS[2], KEYS[3]
local name, record = ARGV[2], redis.call('HGET', KEYS[1], ARGV[2])
if not record or string.sub(record, 1, 1) ~= 'R' or string.match(string.sub(record, 18), '^%d+ (.*)$') ~= ARGV[3] then
  return 0
end
if not ARGV[5] then
  redis.call('HDEL', keys, name)
  redis.call('ZREM', ends, name)
  redis.call('DECRBY', bytes, #record)
  return 1
end
local ended = 'A' .. string.sub(record, 2, 17) .. ARGV[5]
redis.call('HSET', keys, name, ended)
redis.call('ZADD', ends, ARGV[4], name)
redis.call('INCRBY', bytes, #ended - #record)
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, tonumber(ARGV[4]) - tonumber(ARGV[1]) + 60000)
end
return 1
