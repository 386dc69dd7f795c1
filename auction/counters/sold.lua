-- A kept place becomes sold: its record goes, its counts stay. A price below the held one is corrected down.
-- A hold that was sold without having been kept counts in its first window.
--
-- KEYS  see places.lua
-- ARGV  1 now_ms   2 place   3 price_micros
-- reply 1 sold | 0 there is no such place (sold or released before, or its hold expired)

purge()
local record = find(ARGV[2])
if not record then
  return 0
end
for _, entry in ipairs(record[2]) do
  for at = 5, #entry do
    uncount(entry[at], entry[3])
  end
  if entry[2] == 1 then
    local less = tonumber(entry[3]) - tonumber(ARGV[3])
    if less > 0 then
      uncount(entry[4], string.format('%.0f', less))
    end
  end
end
remove(ARGV[2])
return 1
