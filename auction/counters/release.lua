-- A place is given back, held or kept: nothing was sold.
--
-- KEYS  see places.lua
-- ARGV  1 now_ms   2 place
-- reply 1 released | 0 there is no such place (sold or released before, or its hold expired)

purge()
local record = find(ARGV[2])
if not record then
  return 0
end
give_back(record)
remove(ARGV[2])
return 1
