-- Make a buyer's counters say what the ledger says; or change nothing, where they moved on since they were looked at.
--
-- What was sold in a window (its count beyond the places that stand in it) grows by a kept place that becomes sold, and
-- falls by a return, which moves the count named 'returns' (it is among `windows`). So if all are what they were at the
-- look, and no place is kept that was not, then nothing was sold or returned between the look and now; and what the
-- ledger said after the look is the truth of now.
--
-- KEYS  see places.lua, and 5 returned: see return.lua
-- ARGV  1 now_ms   2 what is to be, packed by cmsgpack:
--       windows  {name, end_ms, sold at the look, what is to be added to it (text, may be negative)}...
--       kept     place -> 'open' (it stays), 'over' (sold or refused: counted in `windows`, or not at all), 'gone'
--                (no such lead: taken back, or never written)
--       open     {place, take it where it is not kept (bool), {key, spend, amount, name, end_ms}...}...
--       until    places that are gone are held until then: were their post repeated, it would find them
--       returned {mark...} of returns that `windows` gives back: nobody does it again before `marked`, an end_ms
-- reply {1 done, places let go, places taken} | {0 moved on}

local plan = cmsgpack.unpack(ARGV[2])
purge_all()

local stand, records = standing()
for place, record in pairs(records) do
  if record[1] == 0 and not plan.kept[place] then
    return {0}
  end
end
for _, window in ipairs(plan.windows) do
  local counted = tonumber(redis.call('HGET', counts, window[1]) or 0)
  if counted - (stand[window[1]] or 0) ~= tonumber(window[3]) then
    return {0}
  end
end

-- Counts are moved without a floor: only when all is done, none is below 0.
local touched = {}
local function shift(name, amount)
  redis.call('HINCRBY', counts, name, amount)
  touched[name] = true
end
local function minus(amount)
  return string.sub(amount, 1, 1) == '-' and string.sub(amount, 2) or '-' .. amount
end
local function let_go(record)
  for _, entry in ipairs(record[2]) do
    for at = 4, #entry do
      shift(entry[at], minus(entry[3]))
    end
  end
end
local function enter(record, cap)
  shift(cap[4], cap[3])
  redis.call('ZADD', ends, cap[5], cap[4])
  record[2][#record[2] + 1] = {cap[1], cap[2], cap[3], cap[4]}
end
local function store(place, record)
  redis.call('HSET', places, place, cmsgpack.pack(record))
end

local freed, taken = 0, 0
for place, said in pairs(plan.kept) do
  local record = records[place]
  if record and record[1] == 0 and said ~= 'open' then
    freed = freed + 1
    if said == 'over' then
      let_go(record)
      remove(place)
    else
      record[1] = plan['until']
      store(place, record)
      redis.call('ZADD', holds, record[1], place)
    end
  end
end
for _, open in ipairs(plan.open) do
  local place, record = open[1], records[open[1]]
  if record and record[1] == 0 then
    local known = {}
    for _, entry in ipairs(record[2]) do
      known[entry[1]] = true
    end
    for at = 3, #open do
      if not known[open[at][1]] then
        enter(record, open[at])
      end
    end
    store(place, record)
  elseif open[2] then
    if record then
      let_go(record)
    end
    record = {0, {}, 1}
    for at = 3, #open do
      enter(record, open[at])
    end
    redis.call('ZREM', holds, place)
    store(place, record)
    taken = taken + 1
  end
end
for _, window in ipairs(plan.windows) do
  if window[4] ~= '0' then
    shift(window[1], window[4])
    redis.call('ZADD', ends, window[2], window[1])
  end
end
for _, mark in ipairs(plan.returned) do
  redis.call('ZADD', KEYS[5], 'NX', plan.marked, mark)
end
for name in pairs(touched) do
  if tonumber(redis.call('HGET', counts, name)) <= 0 then
    redis.call('HDEL', counts, name)
    redis.call('ZREM', ends, name)
  end
end
return {1, freed, taken}
