-- What stands in a buyer's windows; sent behind `places` to the steps that look at all of its places.

-- How much stands in each window, by name; the record of each place; and all as stored: {place, packed record, ...}.
local function standing()
  local stand, records = {}, {}
  local stored = redis.call('HGETALL', places)
  for at = 1, #stored, 2 do
    local record = cmsgpack.unpack(stored[at + 1])
    records[stored[at]] = record
    for _, entry in ipairs(record[2]) do
      for name_at = 4, #entry do
        stand[entry[name_at]] = (stand[entry[name_at]] or 0) + tonumber(entry[3])
      end
    end
  end
  return stand, records, stored
end
