-- A request under a key: the first to begin it does the work, the others are told how far it is.
-- A key whose lease ran out before it was ended is free: its worker died.
--
-- KEYS  1 keys   hash    name -> 'R' print lease_until_ms ' ' owner  while it runs; 'A' print answer  when it is ended
--       2 ends   zset    name -> until_ms: then it is forgotten
--       3 bytes  string  how long all records are together
-- ARGV  1 now_ms   2 name   3 print (16 bytes)   4 owner   5 lease_until_ms   6 until_ms
--       7 the most keys of this caller   8 the most bytes, beyond which no key is begun
-- reply {0 begun} | {1 ended, answer} | {2 under way} | {3 of another request} | {4 too many, until_ms of the oldest}

local keys, ends, bytes = KEYS[1], KEYS[2], KEYS[3]
local now, name = tonumber(ARGV[1]), ARGV[2]

local function forget(names)
  local freed = 0
  for _, one in ipairs(names) do
    freed = freed + redis.call('HSTRLEN', keys, one)
  end
  redis.call('HDEL', keys, unpack(names))
  redis.call('ZREM', ends, unpack(names))
  redis.call('DECRBY', bytes, freed)
end

local over = redis.call('ZRANGEBYSCORE', ends, '-inf', '(' .. ARGV[1], 'LIMIT', 0, 64)
if #over > 0 then
  forget(over)
end

local record = redis.call('HGET', keys, name)
if record then
  local print_of, rest = string.sub(record, 2, 17), string.sub(record, 18)
  local running = string.sub(record, 1, 1) == 'R'
  local free = running and tonumber(string.match(rest, '^%d+')) < now
  if free or tonumber(redis.call('ZSCORE', ends, name)) < now then
    forget({name})
  elseif print_of ~= ARGV[3] then
    return {3}
  elseif running then
    return {2}
  else
    return {1, rest}
  end
end

local oldest = redis.call('ZRANGE', ends, 0, 0, 'WITHSCORES')
if redis.call('ZCARD', ends) >= tonumber(ARGV[7])
  or (#oldest > 0 and tonumber(redis.call('GET', bytes) or 0) >= tonumber(ARGV[8])) then
  return {4, tonumber(oldest[2])}
end
record = 'R' .. ARGV[3] .. ARGV[5] .. ' ' .. ARGV[4]
redis.call('HSET', keys, name, record)
redis.call('ZADD', ends, ARGV[6], name)
redis.call('INCRBY', bytes, #record)
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, tonumber(ARGV[6]) - now + 60000)
end
return {0}
