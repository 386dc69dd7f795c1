"""How much a worker leases: what it will need, never all of it, and nothing for a window that is not its."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.counters.blocks import ASK_AGAIN_MS, BLOCK, LONG_AHEAD_MS, Block, Want
from auction.market.model import Per
from auction.market.windows import FOREVER_MS, CapRule

NOW = 1_700_000_000_000
SECOND = 1_000


def block(per: Per = "second", limit: int = 100) -> Block:
    one = Block(CapRule(f"b:pings:{per}", "pings", per, limit, ZoneInfo("UTC")))
    one.has_one(NOW)
    return one


def spend(one: Block, pings: int, now_ms: int = NOW) -> None:
    one.put(one.start_ms, pings, one.rule.limit - pings)
    for _ in range(pings):
        assert one.has_one(now_ms)
        one.left -= 1
        one.used += 1


def test_a_budget_is_leased_in_steps_that_double_and_then_as_much_as_the_second_before() -> None:
    one = block()
    for spent, most in ((0, 1), (1, 1), (1, 2), (2, 4)):
        spend(one, spent)
        assert one.want().most == most
    one.has_one(NOW + SECOND)
    assert one.want() == Want(one.rule, NOW + SECOND, NOW + 2 * SECOND, 4, 2, 1)
    spend(one, 1, NOW + SECOND)
    assert one.want().most == 3
    one.has_one(NOW + 3 * SECOND)
    assert one.want().most == 1  # a second without pings lies between


def test_a_long_window_is_leased_in_twentieths() -> None:
    """As far as is known: what the others leased since, it is told with its next lease."""
    one = block("hour", 4_000)
    assert (one.want().most, one.want().share, one.want().least) == (BLOCK, 20, 1)
    one.put(one.start_ms, 100, 1_500)
    assert one.want().most == 75
    one.put(one.start_ms, 75, 19)
    assert one.want().most == 1
    one.rule = CapRule(one.rule.key, "pings", "hour", 5_000, one.rule.zone)
    assert one.want().most == (19 + 1_000) // 20


def test_the_next_block_is_leased_when_a_quarter_of_this_one_is_left_and_only_then() -> None:
    one = block("hour", 4_000)
    one.put(one.start_ms, 100, 3_000)
    assert one.low == 25
    assert one.want_next() == Want(one.rule, one.start_ms, one.end_ms, 100, 20, 0)
    assert one.low < 0, "once"
    one.put(one.start_ms, 100, 79)
    assert one.want_next() is None, "less than 4: whoever asks first gets them"
    one.put(one.start_ms, 4, 3_000)
    one.leasing = 1
    assert one.want_next() is None, "one is on its way"


def test_of_a_long_window_pings_are_leased_ahead_in_its_last_seconds() -> None:
    one = block("hour", 4_000)
    assert one.look_ahead_ms == one.end_ms - LONG_AHEAD_MS
    spend(one, 30)
    ahead = one.want_ahead()
    assert ahead == Want(one.rule, one.end_ms, one.end_ms + 3_600_000, 30, 20, 0)
    one.put(one.end_ms, 30, 3_970)
    assert one.has_one(one.end_ms)
    assert (one.left, one.low, one.want().most) == (30, 7, 100)
    assert block("hour", 79).want_ahead() is None


def test_while_a_lease_is_on_its_way_one_ping_is_enough() -> None:
    one = block("hour")
    one.leasing = 1
    assert one.want().most == 1


def test_what_is_left_dies_with_its_window_and_what_comes_late_is_lost() -> None:
    one = block()
    one.put(NOW, 5, 0)
    assert one.has_one(NOW + SECOND - 1)
    assert not one.has_one(NOW + SECOND)
    one.put(NOW, 5, 0)
    assert not one.has_one(NOW + SECOND)


def test_what_was_leased_ahead_is_there_when_its_window_begins_and_not_before() -> None:
    one = block()
    spend(one, 8)
    assert one.look_ahead_ms == NOW + 750
    assert one.want_ahead() == Want(one.rule, NOW + SECOND, NOW + 2 * SECOND, 8, 4, 0)
    assert one.look_ahead_ms == FOREVER_MS
    one.put(NOW + SECOND, 3, 0)
    assert not one.has_one(NOW + 999)
    assert one.has_one(NOW + SECOND)
    assert one.left == 3
    one.put(NOW + 2 * SECOND, 2, 0)  # ahead again, and then two seconds pass
    assert not one.has_one(NOW + 3 * SECOND)


@pytest.mark.parametrize(("per", "until_ms"), [("second", NOW + SECOND), ("day", NOW + ASK_AGAIN_MS)])
def test_a_full_cap_is_asked_again_when_its_window_ends_or_after_a_while(per: Per, until_ms: int) -> None:
    one = block(per)
    one.note_full(one.start_ms, NOW)
    assert one.full_ms == until_ms
    other = block(per)
    other.note_full(other.start_ms - 1, NOW)
    assert other.full_ms == 0


def test_a_clock_that_is_set_back_spends_nothing_of_a_later_second() -> None:
    one = block()
    one.put(NOW, 5, 0)
    assert not one.has_one(NOW - SECOND)
    assert not one.has_one(NOW)  # nor is what was left found again: it may be leased anew


class Counted:
    """What `lease.lua` does, for one cap."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.leased: dict[int, int] = {}

    def lease(self, want: Want) -> tuple[int, int] | None:
        left = self.limit - self.leased.get(want.start_ms, 0)
        if left < want.least:
            return None
        pings = max(want.least, min(left // want.share, want.most))
        self.leased[want.start_ms] = self.leased.get(want.start_ms, 0) + pings
        return pings, left - pings


class Worker:
    """What `Allowances` does with one block, its round trips counted, and what it meant to lease and did not get."""

    def __init__(self, counted: Counted, per: Per = "second") -> None:
        self.block = Block(CapRule(f"b:pings:{per}", "pings", per, counted.limit, ZoneInfo("UTC")))
        self.counted = counted
        self.trips = self.waits = self.in_vain = 0

    def ask(self, now_ms: int) -> bool:
        one = self.block
        if not one.has_one(now_ms):
            if now_ms < one.full_ms:
                return False
            self.waits += 1
            want = one.want()
            self._lease(want)
            if one.left == 0:
                one.note_full(want.start_ms, now_ms)
                return False
        one.left -= 1
        one.used += 1
        if one.left <= one.low:
            self._lease(one.want_next())
        if now_ms >= one.look_ahead_ms:
            self._lease(one.want_ahead())
        return True

    def _lease(self, want: Want | None) -> None:
        if want is None:
            return
        self.trips += 1
        leased = self.counted.lease(want)
        self.in_vain += want.most - (leased[0] if leased else 0)
        if leased is not None:
            self.block.put(want.start_ms, *leased)


ASKS = st.tuples(st.integers(0, 3), st.integers(0, 400))  # a worker, and ms since the ask before


@settings(max_examples=300, deadline=None)
@given(limit=st.integers(1, 40), asks=st.lists(ASKS, max_size=120), back=st.booleans())
def test_no_second_has_more_than_its_budget_and_none_that_was_asked_in_has_nothing(
    limit: int, asks: list[tuple[int, int]], back: bool
) -> None:
    """Any workers at any times: with a budget of one and four workers, somebody still gets it."""
    counted = Counted(limit)
    workers = [Worker(counted) for _ in range(4)]
    now_ms = NOW
    allowed: dict[int, int] = {}
    for at, (worker, pause_ms) in enumerate(asks):
        now_ms += pause_ms
        if back and at == 60:
            now_ms -= 2_500
        second = now_ms // SECOND
        allowed[second] = allowed.get(second, 0) + workers[worker].ask(now_ms)
    assert all(count <= limit for count in allowed.values())
    if not back:  # a second that comes twice has its budget once
        assert all(count >= 1 for count in allowed.values())


LONG_ASKS = st.tuples(st.integers(0, 3), st.integers(0, 40))  # a worker, and minutes since the ask before


@settings(max_examples=300, deadline=None)
@given(limit=st.integers(1, 400), asks=st.lists(st.tuples(LONG_ASKS, st.integers(1, 30)), max_size=60))
def test_no_hour_has_more_than_its_cap_and_none_that_was_asked_in_has_nothing(
    limit: int, asks: list[tuple[tuple[int, int], int]]
) -> None:
    """Any workers at any times, some of them many times at once."""
    counted = Counted(limit)
    workers = [Worker(counted, "hour") for _ in range(4)]
    now_ms = NOW
    allowed: dict[int, int] = {}
    for (worker, pause_min), times in asks:
        now_ms += pause_min * 60_000
        hour = workers[worker].block.rule.window(now_ms).start_ms
        allowed[hour] = allowed.get(hour, 0) + sum(workers[worker].ask(now_ms) for _ in range(times))
    assert all(1 <= count <= limit for count in allowed.values())


def test_of_a_long_window_one_ping_waits_and_what_is_wanted_is_had() -> None:
    """Alone a worker knows what is left: all that it means to lease, it gets; and it gets all that there is."""
    counted = Counted(10_000)
    worker = Worker(counted, "hour")
    assert sum(worker.ask(NOW) for _ in range(9_000)) == 9_000
    assert (worker.waits, worker.in_vain) == (1, 0)
    assert worker.trips < 120
    assert sum(worker.ask(NOW) for _ in range(1_100)) == 1_000
    assert worker.in_vain <= 1  # the one that found it full


def test_workers_that_share_a_long_window_get_nearly_all_that_they_mean_to_lease() -> None:
    counted = Counted(2_000)
    workers = [Worker(counted, "hour") for _ in range(4)]
    assert sum(workers[number % 4].ask(NOW) for number in range(2_400)) == 2_000
    assert sum(worker.in_vain for worker in workers) < 400


@pytest.mark.parametrize("limit", [10, 100, 1_000, 10_000])
def test_a_budget_costs_a_handful_of_round_trips_however_many_pings_there_are(limit: int) -> None:
    """Four workers, ten seconds of more pings than the budget allows: all of it is spent, in few leases."""
    counted = Counted(limit)
    workers = [Worker(counted) for _ in range(4)]
    allowed = [0] * 10
    step = SECOND / (3 * limit)
    for number in range(30 * limit):
        now_ms = NOW + int(number * step)
        allowed[(now_ms - NOW) // SECOND] += workers[number % 4].ask(now_ms)
    assert allowed == [limit] * 10
    trips = sum(worker.trips for worker in workers) / 10
    assert trips <= 2 * limit.bit_length() + 8
