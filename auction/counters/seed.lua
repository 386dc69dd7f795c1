-- Windows that the ledger knows more of than we do begin with what it knows, and not at 0.
-- A window that is counted already is left as it is: another worker seeded it, or it was counted all along.
--
-- KEYS  see places.lua
-- ARGV  1 now_ms   2... windows, for each  name, amount (not 0), end_ms
-- reply how many were seeded

purge_all()
local seeded = 0
for at = 2, #ARGV, 3 do
  if redis.call('HEXISTS', counts, ARGV[at]) == 0 then
    count(ARGV[at], ARGV[at + 1], ARGV[at + 2])
    seeded = seeded + 1
  end
end
return seeded
