-- One post per ping: the first to claim it gets its record, everybody else is told how far it is.
-- A claim stays until it is finished or given up, also when its lease ran out: an offer may be under way.
--
-- KEYS  1 ping (its form: open_ping.lua)
-- ARGV  1 now_ms   2 claimant   3 fingerprint of the post's body   4 lease_ms   5 ms that a claim is kept
--       6 what the record begins with, behind a head of three bytes at most, if the ping is the claimant's seller's:
--         nobody else may claim it
-- reply {0 claimed, record} | {1 busy, same body, lapsed, claimant} | {2 done, same body, answer} | {3 expired} | {4 unknown}
--       | {5 another's}

local ping = redis.call('HMGET', KEYS[1], 'until', 'record', 'claimant', 'body', 'lease', 'answer')
local until_ms, record, claimant, body, lease, answer = unpack(ping)
local now = tonumber(ARGV[1])

if not until_ms then
  return {4}
end
if record and not string.find(string.sub(record, 1, #ARGV[6] + 3), ARGV[6], 1, true) then
  return {5}
end
local same_body = body == ARGV[3] and 1 or 0
if answer then
  return {2, same_body, answer}
end
if claimant then
  return {1, same_body, tonumber(lease) < now and 1 or 0, claimant}
end
if tonumber(until_ms) < now then
  return {3}
end
local lease_until = string.format('%.0f', now + tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'claimant', ARGV[2], 'body', ARGV[3], 'lease', lease_until)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {0, record}
