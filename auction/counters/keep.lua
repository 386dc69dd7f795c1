-- The lead is being offered: its place stays until it is sold or released, and counts in the window of now.
--
-- A live hold is never refused (P3): its count in that window is there already, those in other windows are
-- given back. A cap that was written after the hold counts it too, unasked. Without a live hold (a runner-up,
-- or one that came too late) a place is taken as `hold` does. So it is with a place that `mend` took: it stands for
-- an offer that is out, and of this one we know now that it was not.
--
-- KEYS  see places.lua
-- ARGV  1 now_ms   2 place   3... caps (each with the window of now)
-- reply 1 kept | {key of a full cap, free_at_ms, what is left in it}

purge()
local place = ARGV[2]
local record = find(place)
if record and record[1] == 0 then
  if not record[3] then
    return 1
  end
  give_back(record)
  remove(place)
  record = nil
end
local caps = read_caps(3)
if not record then
  return take(place, caps, 0) or 1
end

local held = {}
for _, entry in ipairs(record[2]) do
  held[entry[1]] = entry
end
for _, cap in ipairs(caps) do
  local entry, name = held[cap.key], cap.names[1]
  if not entry then
    count(name, cap.amount, cap.ends[1])
    record[2][#record[2] + 1] = {cap.key, cap.spend, cap.amount, name}
  else
    for at = 5, #entry do
      if entry[at] == name then
        entry[4], entry[at] = name, entry[4]
      end
    end
  end
end
-- The window to stay in stands first now. Where now is in none of them (clocks differ) it is the hold's first.
for _, entry in ipairs(record[2]) do
  for at = #entry, 5, -1 do
    uncount(entry[at], entry[3])
    entry[at] = nil
  end
end
record[1] = 0
redis.call('HSET', places, place, cmsgpack.pack(record))
redis.call('ZREM', holds, place)
return 1
