-- Lease pings to a worker out of some ping caps at once, to be spent without asking again; or, if one is full, none.
-- Each is leased for its own window, and what a worker does not spend dies with it. So all pings that are ever
-- leased of a window stay within its cap.
--
-- KEYS  1, 2: see places.lua
-- ARGV  1 now_ms   2... caps, for each  name, end_ms of its count (see places.lua), limit, most, share, least:
--       leased is at most `most`, at most one part in `share` of what is left, and yet at least `least` (0 or 1)
-- reply {leased, left after it, ...} in the order of the caps | {-1, which of them (from 1) is full}

local leases = {}
for at = 2, #ARGV, 6 do
  local left = tonumber(ARGV[at + 2]) - tonumber(redis.call('HGET', counts, ARGV[at]) or 0)
  local least = tonumber(ARGV[at + 5])
  if left < least then
    return {-1, #leases / 2 + 1}
  end
  local leased = math.max(least, math.min(math.floor(left / ARGV[at + 4]), tonumber(ARGV[at + 3])))
  leases[#leases + 1] = leased
  leases[#leases + 1] = left - leased
end
for which = 1, #leases / 2 do
  local leased = leases[2 * which - 1]
  if leased > 0 then
    count(ARGV[6 * which - 4], string.format('%.0f', leased), ARGV[6 * which - 3])
  end
end
return leases
