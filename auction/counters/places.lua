-- What all steps on a buyer's caps share; sent in front of each of them.
--
-- KEYS  1 counts  hash  name -> sold + held (leads, micros, or pings leased); a count of 0 is not kept
--       2 ends    zset  name -> end_ms of its window: a day after it the count is forgotten
--                       (that of a second or a minute sooner: it is given an end that lies back so far)
--       3 holds   zset  place -> until_ms; only holds that can expire
--       4 places  hash  place -> record
-- ARGV  1 now_ms, always. Caps stand last: for each  key, 1 if it counts spend (else 0), amount, limit, n,
--       and n times  name, end_ms  of a window the amount is to be counted in.
--
-- A name is '<cap key>@<start_ms>'. A place is '<ping_id>/<order_id>'. A record is cmsgpack {until_ms (0: kept),
-- entries}, an entry {cap key, spend, amount, name, name...}. Amounts stay the text they came as: exact.
-- A hold lives up to and including its until_ms. A kept record that ends with a 1 was taken by `mend` because the
-- ledger has the offer: whether it had its place is not known.

local counts, ends, holds, places = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = tonumber(ARGV[1])

local PURGE = 64          -- dead holds purged by every step
local PURGE_ROUNDS = 64   -- times that many, before anybody is refused
local DAY_MS = 86400000

-- Counts `amount` under `name`; a count that is new makes room by forgetting windows long past.
local function count(name, amount, end_ms)
  if redis.call('HINCRBY', counts, name, amount) == tonumber(amount) then
    redis.call('ZADD', ends, end_ms, name)
    local past = redis.call('ZRANGEBYSCORE', ends, '-inf', now - DAY_MS, 'LIMIT', 0, 32)
    if #past > 0 then
      redis.call('HDEL', counts, unpack(past))
      redis.call('ZREM', ends, unpack(past))
    end
  end
end

-- Takes `amount` off again; never below 0, also where the count was forgotten meanwhile.
local function uncount(name, amount)
  if redis.call('HINCRBY', counts, name, '-' .. amount) <= 0 then
    redis.call('HDEL', counts, name)
    redis.call('ZREM', ends, name)
  end
end

local function give_back(record)
  for _, entry in ipairs(record[2]) do
    for at = 4, #entry do
      uncount(entry[at], entry[3])
    end
  end
end

-- Gives back what up to PURGE dead holds took; says how many there were.
local function purge()
  local dead = redis.call('ZRANGEBYSCORE', holds, '-inf', '(' .. ARGV[1], 'LIMIT', 0, PURGE)
  if #dead > 0 then
    for _, packed in ipairs(redis.call('HMGET', places, unpack(dead))) do
      if packed then
        give_back(cmsgpack.unpack(packed))
      end
    end
    redis.call('ZREM', holds, unpack(dead))
    redis.call('HDEL', places, unpack(dead))
  end
  return #dead
end

-- Purges until no dead hold is left, within reason; says whether it found any.
local function purge_all()
  local found = false
  for _ = 1, PURGE_ROUNDS do
    local purged = purge()
    found = found or purged > 0
    if purged < PURGE then
      break
    end
  end
  return found
end

-- Removes the record of a place, leaving the counts as they are.
local function remove(place)
  redis.call('HDEL', places, place)
  redis.call('ZREM', holds, place)
end

-- The record of a place that is kept, or held and alive. A dead one is given back: nil.
local function find(place)
  local packed = redis.call('HGET', places, place)
  if not packed then
    return nil
  end
  local record = cmsgpack.unpack(packed)
  if record[1] ~= 0 and record[1] < now then
    give_back(record)
    remove(place)
    return nil
  end
  return record
end

-- The caps that stand in ARGV from `at` on.
local function read_caps(at)
  local caps = {}
  while at <= #ARGV do
    local last = at + 4 + 2 * tonumber(ARGV[at + 4])
    local cap = {key = ARGV[at], spend = tonumber(ARGV[at + 1]), amount = ARGV[at + 2],
                 limit = tonumber(ARGV[at + 3]), names = {}, ends = {}}
    for name_at = at + 5, last, 2 do
      cap.names[#cap.names + 1] = ARGV[name_at]
      cap.ends[#cap.ends + 1] = ARGV[name_at + 1]
    end
    caps[#caps + 1] = cap
    at = last + 1
  end
  return caps
end

-- The first cap without room in one of its windows, which of them, and its count; nil if all have room.
local function full(caps)
  local names = {}
  for _, cap in ipairs(caps) do
    for _, name in ipairs(cap.names) do
      names[#names + 1] = name
    end
  end
  if #names == 0 then
    return nil
  end
  local used, at = redis.call('HMGET', counts, unpack(names)), 0
  for _, cap in ipairs(caps) do
    for which = 1, #cap.names do
      at = at + 1
      local counted = tonumber(used[at] or 0)
      if counted + tonumber(cap.amount) > cap.limit then
        return cap, which, counted
      end
    end
  end
  return nil
end

-- When enough live holds on this window will have expired, or the window's end if they are not enough.
-- Looks at the first PURGE holds to expire: beyond these it is a bound, never too late. (Only a release
-- can make room before.)
local function free_at(cap, which, counted)
  local name, need = cap.names[which], counted + tonumber(cap.amount) - cap.limit
  local window_end = tonumber(cap.ends[which])
  local next_to_die = redis.call('ZRANGE', holds, 0, PURGE - 1)
  if #next_to_die == 0 then
    return window_end
  end
  local until_ms = 0
  for _, packed in ipairs(redis.call('HMGET', places, unpack(next_to_die))) do
    local record = packed and cmsgpack.unpack(packed) or {until_ms, {}}
    until_ms = record[1]
    for _, entry in ipairs(record[2]) do
      for at = 4, #entry do
        if entry[at] == name then
          need = need - tonumber(entry[3])
        end
      end
    end
    if need <= 0 then
      return math.min(window_end, until_ms + 1)
    end
  end
  if #next_to_die == PURGE then
    return math.min(window_end, until_ms + 1)
  end
  return window_end
end

-- The reply that says what is full; nil if all have room.
local function refusal(caps)
  local cap, which, counted = full(caps)
  if cap and purge_all() then
    cap, which, counted = full(caps)
  end
  return cap and {cap.key, free_at(cap, which, counted), string.format('%.0f', cap.limit - counted)} or nil
end

-- Takes a place in all caps at once, until `until_ms` (0: for good). Nil, or the reply that says what is full.
local function take(place, caps, until_ms)
  local refused = refusal(caps)
  if refused then
    return refused
  end
  local entries = {}
  for _, taken in ipairs(caps) do
    local entry = {taken.key, taken.spend, taken.amount}
    for at, name in ipairs(taken.names) do
      count(name, taken.amount, taken.ends[at])
      entry[at + 3] = name
    end
    entries[#entries + 1] = entry
  end
  redis.call('HSET', places, place, cmsgpack.pack({until_ms, entries}))
  if until_ms > 0 then
    redis.call('ZADD', holds, until_ms, place)
  end
  return nil
end
