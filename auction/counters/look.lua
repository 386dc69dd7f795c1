-- What a buyer's counters say at one moment: some windows, and the places that are kept.
-- What a count holds beyond the places that stand in it was sold; so a look tells both apart.
--
-- KEYS  see places.lua, and 5 returned: see return.lua
-- ARGV  1 now_ms   2... names
-- reply {{count, of it in places, for each name}, {place, record, for each that is kept}, {mark of a return, ...}}

purge_all()
local stand, records, stored = standing()
local kept = {}
for at = 1, #stored, 2 do
  if records[stored[at]][1] == 0 then
    kept[#kept + 1] = stored[at]
    kept[#kept + 1] = stored[at + 1]
  end
end
local windows = {}
for at = 2, #ARGV do
  windows[#windows + 1] = redis.call('HGET', counts, ARGV[at]) or '0'
  windows[#windows + 1] = string.format('%.0f', stand[ARGV[at]] or 0)
end
return {windows, kept, redis.call('ZRANGE', KEYS[5], 0, -1)}
