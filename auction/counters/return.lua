-- A sale was returned, and does not count any more: what it took in these windows is given back, once.
--
-- The place of a sale leaves no record (`sold`), so what was given back is marked, each window by itself: `mend` marks
-- what it corrected, and what was marked is not given back again. Where the place is kept still (its sale was never told
-- to us), it goes with all that it takes.
--
-- KEYS  see places.lua
--       5 returned  zset  '<place> <name>' -> when the mark may be forgotten
-- ARGV  1 now_ms   2 place   3 until when marks are kept   4... name, amount
-- reply how many windows were given back
--
-- The count named 'returns' (no window has such a name) goes up with every change, so that `mend` sees that the counters
-- moved on, though a return and a sale may leave every window as it was.

local returned, place = KEYS[5], ARGV[2]
purge()
local record, in_record, done = find(place), {}, 0
if record then
  for _, entry in ipairs(record[2]) do
    for at = 4, #entry do
      in_record[entry[at]] = true
    end
  end
  give_back(record)
  remove(place)
  done = 1
end
for at = 4, #ARGV, 2 do
  if redis.call('ZADD', returned, 'NX', ARGV[3], place .. ' ' .. ARGV[at]) == 1 then
    done = done + 1
    if not in_record[ARGV[at]] then
      uncount(ARGV[at], ARGV[at + 1])
    end
  end
end
redis.call('ZREMRANGEBYSCORE', returned, '-inf', '(' .. ARGV[1])
if done > 0 then
  redis.call('HINCRBY', counts, 'returns', 1)
end
return done
