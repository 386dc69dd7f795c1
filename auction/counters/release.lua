-- A place is given back: nothing was sold.
--
-- KEYS  see places.lua
-- ARGV  1 now_ms   2 place   3 left out, or anything: only while it is held, and not if it is kept
-- reply 1 released | 0 there is no such place (sold or released before, or its hold expired)

purge()
local record = find(ARGV[2])
if not record or (ARGV[3] and record[1] == 0) then
  return 0
end
give_back(record)
remove(ARGV[2])
return 1
