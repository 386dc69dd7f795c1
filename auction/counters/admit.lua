-- May this ping of a seller be auctioned? Its rate limit, and whether the same ping is known already.
-- A repeat counts in the rate limit like any ping; a ping that was refused by it does not.
--
-- KEYS  1 count of the rate's window   2 marker of the fingerprint (left out without one)
-- ARGV  1 now_ms   2 ping_id   3 lease_ms   4 limit (0: no rate)   5 ms until the window's end
-- reply {0 admitted | 1 limited | 2 repeat | 3 running, pings counted in this window, answer or ping_id}
--
-- A marker is '<R running | A answered><until_ms> <ping_id> <answer>'.

local now, limit = tonumber(ARGV[1]), tonumber(ARGV[4])
local used = 0

if limit > 0 then
  used = redis.call('INCR', KEYS[1])
  if used == 1 then
    redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[5]) + 60000)
  end
  if used > limit then
    redis.call('DECR', KEYS[1])
    return {1, used - 1, ''}
  end
end

if KEYS[2] then
  local mark = redis.call('GET', KEYS[2])
  if mark then
    local kind, till, ping_id, answer = string.match(mark, '^(%u)(%d+) (%S+) (.*)$')
    if tonumber(till) >= now then
      if kind == 'A' then
        return {2, used, answer}
      end
      return {3, used, ping_id}
    end
  end
  local till = string.format('%.0f', now + tonumber(ARGV[3]))
  redis.call('SET', KEYS[2], 'R' .. till .. ' ' .. ARGV[2] .. ' ', 'PX', tonumber(ARGV[3]) + 60000)
end
return {0, used, ''}
