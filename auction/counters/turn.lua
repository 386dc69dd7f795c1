-- Round robin among equals: the orders, least recently chosen first; the first of them is chosen by this call.
-- Those never chosen come first, in the order given.
--
-- KEYS  1 turns: hash  order_id -> when it was last chosen, counted in choices; '#' -> choices made
-- ARGV  order_ids
-- reply {index in ARGV, from 1, ...}

local chosen = redis.call('HMGET', KEYS[1], unpack(ARGV))
local turns = {}
for at = 1, #ARGV do
  turns[at] = at
  chosen[at] = tonumber(chosen[at] or 0)
end
table.sort(turns, function(a, b)
  if chosen[a] ~= chosen[b] then
    return chosen[a] < chosen[b]
  end
  return a < b
end)
redis.call('HSET', KEYS[1], ARGV[turns[1]], redis.call('HINCRBY', KEYS[1], '#', 1))
return turns
