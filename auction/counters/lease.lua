-- Lease pings to a worker out of all ping caps of an order at once, to be spent without asking again.
-- What a worker does not spend dies with the window; so all pings ever leased stay within every cap.
--
-- KEYS  1, 2: see places.lua
-- ARGV  1 now_ms   2 the most to lease (it gets a 20th of what is left, at least 1)
--       3... caps (each with the window of now; amount is not looked at)
-- reply {leased, end_ms of the window that ends first} | {0, end_ms of the window that is full}

local caps = read_caps(3)
local left, full_end = nil, nil
local first_end = nil
for _, cap in ipairs(caps) do
  local room = cap.limit - tonumber(redis.call('HGET', counts, cap.names[1]) or 0)
  local end_ms = tonumber(cap.ends[1])
  if not left or room < left then
    left, full_end = room, end_ms
  end
  if not first_end or end_ms < first_end then
    first_end = end_ms
  end
end
if left <= 0 then
  return {0, full_end}
end
local leased = math.max(1, math.min(math.floor(left / 20), tonumber(ARGV[2])))
for _, cap in ipairs(caps) do
  count(cap.names[1], leased, cap.ends[1])
end
return {leased, first_end}
