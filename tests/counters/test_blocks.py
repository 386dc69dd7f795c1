"""How much a worker leases: what it will need, never all of it, and nothing for a window that is not its."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.counters.blocks import ASK_AGAIN_MS, BLOCK, Block, Want
from auction.market.model import Per
from auction.market.windows import FOREVER_MS, CapRule

NOW = 1_700_000_000_000
SECOND = 1_000


def block(per: Per = "second", limit: int = 100) -> Block:
    one = Block(CapRule(f"b:pings:{per}", "pings", per, limit, ZoneInfo("UTC")))
    one.has_one(NOW)
    return one


def spend(one: Block, pings: int, now_ms: int = NOW) -> None:
    one.put(one.start_ms, pings)
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
    one = block("hour")
    spend(one, 7)
    want = one.want()
    assert (want.most, want.share, want.least) == (BLOCK, 20, 1)
    assert one.look_ahead_ms == FOREVER_MS


def test_while_a_lease_is_on_its_way_one_ping_is_enough() -> None:
    one = block("hour")
    one.leasing = 1
    assert one.want().most == 1


def test_what_is_left_dies_with_its_window_and_what_comes_late_is_lost() -> None:
    one = block()
    one.put(NOW, 5)
    assert one.has_one(NOW + SECOND - 1)
    assert not one.has_one(NOW + SECOND)
    one.put(NOW, 5)
    assert not one.has_one(NOW + SECOND)


def test_what_was_leased_ahead_is_there_when_its_window_begins_and_not_before() -> None:
    one = block()
    spend(one, 8)
    assert one.look_ahead_ms == NOW + 750
    assert one.want_ahead() == Want(one.rule, NOW + SECOND, NOW + 2 * SECOND, 8, 4, 0)
    assert one.look_ahead_ms == FOREVER_MS
    one.put(NOW + SECOND, 3)
    assert not one.has_one(NOW + 999)
    assert one.has_one(NOW + SECOND)
    assert one.left == 3
    one.put(NOW + 2 * SECOND, 2)  # ahead again, and then two seconds pass
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
    one.put(NOW, 5)
    assert not one.has_one(NOW - SECOND)
    assert not one.has_one(NOW)  # nor is what was left found again: it may be leased anew


class Counted:
    """What `lease.lua` does, for one cap."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.leased: dict[int, int] = {}

    def lease(self, want: Want) -> int | None:
        left = self.limit - self.leased.get(want.start_ms, 0)
        if left < want.least:
            return None
        pings = max(want.least, min(left // want.share, want.most))
        self.leased[want.start_ms] = self.leased.get(want.start_ms, 0) + pings
        return pings


class Worker:
    """What `Allowances` does with one block, its round trips counted."""

    def __init__(self, counted: Counted) -> None:
        self.block = Block(CapRule("b:pings:second", "pings", "second", counted.limit, ZoneInfo("UTC")))
        self.counted = counted
        self.trips = self.waits = 0

    def ask(self, now_ms: int) -> bool:
        one = self.block
        if not one.has_one(now_ms):
            if now_ms < one.full_ms:
                return False
            self.trips += 1
            self.waits += 1
            pings = self.counted.lease(one.want())
            if pings is None:
                one.note_full(one.start_ms, now_ms)
                return False
            one.put(one.start_ms, pings)
        one.left -= 1
        one.used += 1
        if now_ms >= one.look_ahead_ms:
            self.trips += 1
            want = one.want_ahead()
            one.put(want.start_ms, self.counted.lease(want) or 0)
        return True


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
