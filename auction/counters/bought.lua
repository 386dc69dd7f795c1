-- A lead was sold: who bought a lead like it, and when last.
--
-- KEYS  what the lead is known by, one at least: hash  order_id -> at_ms; '#' -> at_ms of the last that anybody bought
-- ARGV  1 at_ms   2 ms that it is kept   3... order_ids
-- reply 1

for _, key in ipairs(KEYS) do
  for at = 2, #ARGV do
    local who = at == 2 and '#' or ARGV[at]
    local last = redis.call('HGET', key, who)
    if not last or tonumber(last) < tonumber(ARGV[1]) then
      redis.call('HSET', key, who, ARGV[1])
    end
  end
  if redis.call('PTTL', key) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return 1
