-- Hold a place for a ping in all caps it touches, in every window it could be offered in; or in none.
-- A place that is held or kept already stays as it is. But one that is held for less than is asked for (the ping was
-- auctioned again, and the bid is higher) is taken anew, for as long as is asked; where there is no room for more, it
-- stays.
--
-- KEYS  see places.lua
-- ARGV  1 now_ms   2 place   3 until_ms   4... caps (each with all windows from now to until_ms)
-- reply 1 held | {key of a full cap, free_at_ms, what is left in it}

-- What these caps would count beyond what this record does; nil if it holds as much as is asked for.
local function beyond(record, caps)
  local held, less, more = {}, false, {}
  for _, entry in ipairs(record[2]) do
    local names = {}
    for at = 4, #entry do
      names[entry[at]] = true
    end
    held[entry[1]] = {amount = tonumber(entry[3]), names = names}
  end
  for _, cap in ipairs(caps) do
    local had = held[cap.key]
    local left = tonumber(cap.amount) - (had and had.amount or 0)
    less = less or left > 0
    for at, name in ipairs(cap.names) do
      local amount = had and had.names[name] and left or tonumber(cap.amount)
      if amount > 0 then
        more[#more + 1] = {key = cap.key, amount = string.format('%.0f', amount), limit = cap.limit,
                           names = {name}, ends = {cap.ends[at]}}
      end
    end
  end
  return less and more or nil
end

purge()
local place, until_ms, caps = ARGV[2], tonumber(ARGV[3]), read_caps(4)
local record = find(place)
if not record then
  return take(place, caps, until_ms) or 1
end
local more = record[1] ~= 0 and beyond(record, caps)
if not more then
  return 1
end
local refused = refusal(more)
if refused then
  return refused
end
give_back(record)
remove(place)
return take(place, caps, until_ms) or 1
