-- Hold a place for a ping in all caps it touches, in every window it could be offered in; or in none.
-- A place that is held or kept already stays as it is.
--
-- KEYS  see places.lua
-- ARGV  1 now_ms   2 place   3 until_ms   4... caps (each with all windows from now to until_ms)
-- reply 1 held | {key of a full cap, free_at_ms, what is left in it}

purge()
if find(ARGV[2]) then
  return 1
end
return take(ARGV[2], read_caps(4), tonumber(ARGV[3])) or 1
