"""Ping caps are never overspent, whoever leases and however often."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.clock import MovedClock
from auction.counters import scripts
from auction.counters.allowances import Allowances
from auction.counters.blocks import ASK_AGAIN_MS, Block, Want
from auction.counters.counters import Counters
from auction.counters.embedded import EmbeddedValkey
from auction.counters.faults import CountersUnavailable
from auction.counters.leasing import SHORT_KEPT_MS, PingCounts
from auction.counters.link import Link
from auction.market.model import Per
from auction.market.reasons import Reason
from auction.market.windows import CapRule
from auction.ping_leases import PingLease

UTC = ZoneInfo("UTC")
SECOND, HOUR = 1_000, 3_600_000
NOW = 1_700_000_000_000 // HOUR * HOUR + 60_000
HOUR_START = NOW - 60_000
HOUR_END = NOW - 60_000 + HOUR


class Order(NamedTuple):
    """What the counters look at of an order."""

    id: str
    buyer_id: str
    ping_caps: tuple[CapRule, ...]


def cap(key: str, limit: int, per: Per = "hour") -> CapRule:
    return CapRule(key, "pings", per, limit, UTC)


def order(*caps: CapRule, name: str = "o") -> Order:
    return Order(name, "b", caps)


def want(rule: CapRule, most: int = 100, share: int = 20, least: int = 1, now_ms: int = NOW) -> Want:
    window = rule.window(now_ms)
    return Want(rule, window.start_ms, window.end_ms, most, share, least)


class Noted:
    """A book that is written at once; `sums` by cap and window."""

    def __init__(self) -> None:
        self.sums: Counter[tuple[str, int]] = Counter()
        self.writes = 0

    async def ahead(self, leases: Sequence[PingLease], within_ms: int) -> None:
        self.writes += 1
        for lease in leases:
            self.sums[lease.cap_key, lease.start_ms] += lease.pings

    def back(self, leases: Sequence[PingLease]) -> None:
        for lease in leases:
            self.sums[lease.cap_key, lease.start_ms] -= lease.pings


async def may(allowances: Allowances, one: Order) -> bool:
    return await allowances.spend([one]) == [None]


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock(NOW)


@pytest.fixture
def pings(link: Link) -> PingCounts:
    return PingCounts(link)


@pytest.fixture
def book() -> Noted:
    return Noted()


@pytest.fixture
def allowances(pings: PingCounts, book: Noted, clock: MovedClock) -> Allowances:
    return Allowances(pings, book, clock)


@pytest.mark.parametrize(
    ("limit", "leased"), [(1, 1), (19, 1), (40, 2), (1_000, 50), (2_000, 100), (1_000_000_000_000, 100)]
)
async def test_a_lease_is_a_part_of_what_is_left(
    counters: Counters, pings: PingCounts, limit: int, leased: int
) -> None:
    rule = cap("k", limit)
    assert await pings.lease("b", [want(rule)], NOW) == ((leased, limit - leased),)
    assert await counters.peek("b", [rule], NOW) == [("k", leased, limit)]


async def test_a_lease_counts_in_all_caps_or_in_none(counters: Counters, pings: PingCounts) -> None:
    of_order, of_buyer = cap("o", 40), cap("b", 1_000, "day")
    assert await pings.lease("b", [want(of_buyer), want(of_order)], NOW) == ((50, 950), (2, 38))
    full = [want(of_order), want(cap("b", 50, "day"))]
    assert await pings.lease("b", full, NOW) == 1
    assert await counters.peek("b", [of_buyer, of_order], NOW) == [("b", 50, 1_000), ("o", 2, 40)]


async def test_a_lease_ahead_may_be_of_nothing(pings: PingCounts) -> None:
    one, none = cap("k", 9, "second"), cap("n", 1, "second")
    assert await pings.lease("b", [want(one, share=4, least=0)], NOW) == ((2, 7),)
    assert await pings.lease("b", [want(none, share=4, least=0)], NOW) == ((0, 1),)
    assert await pings.lease("b", [want(none)], NOW) == ((1, 0),)
    assert await pings.lease("b", [want(none, share=4, least=0)], NOW) == ((0, 0),)
    assert await pings.lease("b", [want(none)], NOW) == 0


async def test_seconds_are_forgotten_soon(pings: PingCounts) -> None:
    """A day of them would be 86,400 counts a cap."""
    rule = cap("k", 5, "second")
    for second in range(200):
        now_ms = NOW + second * SECOND
        assert await pings.lease("b", [want(rule, now_ms=now_ms)], now_ms) == ((1, 4),)
    kept = await pings.link.call("HLEN", "{buyer:b}:counts")
    assert kept <= SHORT_KEPT_MS // SECOND + 2
    assert await pings.link.call("ZCARD", "{buyer:b}:ends") == kept


async def test_one_round_trip_then_memory_then_the_next(counters: Counters, allowances: Allowances) -> None:
    one = order(cap("o", 60))
    before = counters.link.calls
    calls = []
    for _ in range(4):
        assert await may(allowances, one)
        calls.append(counters.link.calls - before)
    assert calls == [1, 1, 1, 2]
    assert (allowances.spent, allowances.leases) == (4, 2)


async def test_what_is_leased_of_an_hour_is_written_before_and_of_a_second_never(
    allowances: Allowances, pings: PingCounts, book: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time that the counters are asked, the book has at least what they will have given; afterwards, just that."""
    hour, second = cap("o:hour", 300), cap("o:second", 1_000, "second")
    given = [0]
    one, lease = order(hour, second), pings.lease

    def looked(buyer_id: str, wants: Sequence[Want], now_ms: int) -> object:
        ahead = sum(each.most for each in wants if each.rule is hour)
        assert book.sums["o:hour", HOUR_START] >= given[0] + ahead
        return lease(buyer_id, wants, now_ms)

    monkeypatch.setattr(pings, "lease", looked)
    for spent in range(300):
        assert await may(allowances, one), spent
        (given[0],) = await pings.counted("b", [f"o:hour@{HOUR_START}"], NOW)
    assert not await may(allowances, one)
    assert book.sums == {("o:hour", HOUR_START): 300}


async def test_what_was_written_and_not_leased_is_taken_back(
    valkey: EmbeddedValkey, allowances: Allowances, pings: PingCounts, book: Noted, clock: MovedClock
) -> None:
    """Of another worker's leases it knows nothing; one cap is full, and so nothing is leased of the others; the
    counters go; the seller goes."""
    wide, tight = cap("wide", 1_000), cap("tight", 40)
    await pings.lease("b", [want(tight, most=39, share=1)], NOW)
    assert await may(allowances, order(tight, name="t"))
    assert book.sums["tight", HOUR_START] == 1
    assert not await may(allowances, order(wide, tight))
    assert book.sums["wide", HOUR_START] == 0
    gone = asyncio.create_task(may(allowances, order(wide)))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert book.sums["wide", HOUR_START] == 0
    await pings.link.close()
    with pytest.raises(CountersUnavailable):
        await may(allowances, order(wide))
    assert book.sums["wide", HOUR_START] == 0


async def test_the_next_block_is_leased_before_this_one_is_empty(
    allowances: Allowances, pings: PingCounts, book: Noted, clock: MovedClock
) -> None:
    """No ping waits but the first: not at a block's end, and not at the window's."""
    one = order(cap("o", 100_000))
    assert await may(allowances, one)
    for _ in range(1_000):
        before = pings.link.calls
        spending = asyncio.ensure_future(may(allowances, one))
        await asyncio.sleep(0)
        assert spending.done(), "it came out of memory"
        assert await spending
        if pings.link.calls != before or allowances._aside:
            await asyncio.gather(*allowances._aside)
    assert book.writes == allowances.leases == 11
    clock.move(HOUR_END - NOW - 4_000)
    assert await may(allowances, one)
    await asyncio.gather(*allowances._aside)
    clock.move(4_000)
    spending = asyncio.ensure_future(may(allowances, one))
    await asyncio.sleep(0)
    assert spending.done()


async def test_a_lease_that_is_under_way_at_the_end_is_given_up(
    allowances: Allowances, book: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = order(cap("o", 2_000))
    for _ in range(74):
        assert await may(allowances, one)
    before = dict(book.sums)

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(book, "ahead", never)
    assert await may(allowances, one)
    await asyncio.sleep(0)
    assert len(allowances._aside) == 1
    await allowances.close()
    assert not allowances._aside
    assert book.sums["o", HOUR_START] == before["o", HOUR_START] - 95


@pytest.mark.parametrize("per", ["second", "hour"])
async def test_exactly_the_cap_then_no_until_the_window_ends(
    allowances: Allowances, clock: MovedClock, per: Per
) -> None:
    one = order(cap("o", 100, per))
    assert [await may(allowances, one) for _ in range(103)] == [True] * 100 + [False] * 3
    reason = Reason.PING_BUDGET if per == "second" else Reason.PING_CAP
    assert await allowances.spend([one]) == [reason]
    assert (allowances.spent, allowances.refused) == (100, {("b", reason): 4})
    clock.move(SECOND if per == "second" else HOUR_END - NOW)
    assert await may(allowances, one)


async def test_a_full_cap_is_left_alone_for_a_while_and_a_raised_limit_is_found_at_once(
    allowances: Allowances, book: Noted, clock: MovedClock
) -> None:
    one, raised = order(cap("o", 1)), order(cap("o", 2))
    assert [await may(allowances, one) for _ in range(4)] == [True, False, False, False]
    assert book.writes == 2
    clock.move(ASK_AGAIN_MS - 1)
    assert not await may(allowances, one)
    assert book.writes == 2
    assert [await may(allowances, raised) for _ in range(2)] == [True, False]
    clock.move(ASK_AGAIN_MS)
    assert not await may(allowances, raised)
    assert book.writes == 5


async def test_what_is_leased_of_a_day_outlives_the_second(
    counters: Counters, allowances: Allowances, clock: MovedClock
) -> None:
    """One ping a second for 40 seconds costs the day 40, and what one worker has in hand."""
    day = cap("o:day", 1_000, "day")
    one = order(cap("o:second", 10, "second"), day)
    for _ in range(40):
        assert await may(allowances, one)
        clock.move(SECOND)
    ((_, leased, _),) = await counters.peek("b", [day], clock.now_ms())
    assert 40 <= leased <= 40 + 50 + 50 // 4


async def test_a_buyers_cap_is_one_for_all_its_orders(allowances: Allowances) -> None:
    of_buyer = cap("b:pings:second", 5, "second")
    orders = [order(of_buyer, cap(f"o{at}", 3), name=f"o{at}") for at in range(4)]
    found = await allowances.spend(orders)
    found += await allowances.spend(orders)
    assert found.count(None) == 5
    assert set(found) == {None, Reason.PING_BUDGET}


async def test_a_full_cap_costs_the_others_nothing(counters: Counters, allowances: Allowances) -> None:
    tight, wide = cap("o:second", 1, "second"), cap("o:day", 100, "day")
    one = order(tight, wide)
    assert [await may(allowances, one) for _ in range(5)] == [True] + [False] * 4
    ((_, leased, _),) = await counters.peek("b", [wide], NOW)
    assert leased == 5  # a block, and nothing for those that were refused


async def test_many_orders_travel_together_and_are_answered_in_order(allowances: Allowances) -> None:
    orders = [Order(f"o{at}", "b" if at % 2 else "c", (cap(f"o{at}", at % 3),)) for at in range(30)]
    found = await allowances.spend(orders)
    assert [reason is None for reason in found] == [at % 3 > 0 for at in range(30)]
    assert await allowances.spend([]) == []


async def test_an_order_pays_once_for_a_ping_that_had_to_wait_for_anothers_lease(
    allowances: Allowances,
) -> None:
    one = order(cap("a", 1_000), name="a")
    await allowances.spend([one])
    assert await allowances.spend([one, order(cap("b", 1_000), name="b")]) == [None, None]
    assert blocks(allowances)["a"].used == 2
    assert blocks(allowances)["a"].left == 48
    assert allowances.spent == 3


async def test_auctions_at_once_lease_one_block_and_a_ping_each(
    counters: Counters, allowances: Allowances
) -> None:
    one = order(cap("o", 10_000))
    assert await asyncio.gather(*(may(allowances, one) for _ in range(20))) == [True] * 20
    assert (await counters.peek("b", one.ping_caps, NOW))[0][1] == 100 + 19


async def test_in_steady_traffic_no_ping_waits_for_the_second_that_begins(
    counters: Counters, allowances: Allowances, clock: MovedClock
) -> None:
    one = order(cap("b:pings:second", 1_000, "second"))
    for _ in range(3):
        for _ in range(50):
            assert await may(allowances, one)
            clock.move(20)
        await counters.link.call("PING")  # what was leased ahead is here now
    before = counters.link.calls
    for _ in range(30):
        assert await may(allowances, one)
    assert counters.link.calls == before


async def test_a_second_that_ends_while_its_lease_is_on_the_way_pays_for_no_later_ping(
    pings: PingCounts, allowances: Allowances, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping that wakes up in the next second is spent there, or it is not asked."""
    one = order(cap("o", 2, "second"))
    lease = pings.lease

    def slowly(*arguments: object) -> object:
        clock.move(SECOND)
        return lease(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(pings, "lease", slowly)
    assert await allowances.spend([one]) == [Reason.PING_BUDGET]  # every time it wakes up it is too late
    monkeypatch.undo()
    assert await may(allowances, one)
    second = clock.now_ms() // SECOND * SECOND
    assert [rule for rule, block in blocks(allowances).items() if block.start_ms == second] == ["o"]


def blocks(allowances: Allowances) -> dict[str, Block]:
    return {key: block for (_, key), block in allowances._blocks.items()}


async def test_caps_the_market_dropped_are_forgotten(counters: Counters, allowances: Allowances) -> None:
    of_buyer = cap("b:pings:day", 1_000, "day")
    one, other = order(cap("a", 100), of_buyer, name="a"), order(cap("b", 100), of_buyer, name="b")
    await allowances.spend([one, other])
    allowances.keep_only([one])
    assert set(blocks(allowances)) == {"a", "b:pings:day"}
    before = counters.link.calls
    assert await may(allowances, one)
    assert counters.link.calls == before
    assert await may(allowances, other)
    assert counters.link.calls == before + 1


async def test_another_time_zone_has_other_windows(allowances: Allowances) -> None:
    here = cap("o", 10, "day")
    there = CapRule("o", "pings", "day", 10, ZoneInfo("Asia/Tokyo"))
    await allowances.spend([order(here)])
    await allowances.spend([order(there)])
    assert blocks(allowances)["o"].start_ms == there.window(NOW).start_ms


async def test_a_lease_that_fails_leaves_nothing_behind(valkey: EmbeddedValkey, clock: MovedClock) -> None:
    link = Link(valkey.url, scripts.ALL, bound_ms=5_000)
    await link.open()
    allowances = Allowances(PingCounts(link), Noted(), clock)
    one = order(cap("o", 1_000, "second"))
    assert await may(allowances, one)
    clock.move(900)
    await link.close()
    with pytest.raises(CountersUnavailable):
        await allowances.spend([one, order(cap("p", 100), name="p")])
    assert {block.leasing for block in blocks(allowances).values()} == {0}
    with pytest.raises(CountersUnavailable):
        await allowances.spend([one])


@pytest.mark.parametrize("per", ["second", "hour"])
def test_workers_never_overspend_any_cap_in_any_window(valkey: EmbeddedValkey, per: Per) -> None:
    """Any mix of workers, orders and times: the asks allowed in a window are at most every cap's limit."""
    orders = {
        "x": order(cap("o:x", 7, per), cap("b:day", 30, "day"), name="x"),
        "y": order(cap("o:y", 25, per), cap("b:day", 30, "day"), name="y"),
        "z": order(cap("b:short", 4, per), name="z"),
    }
    limits = {"o:x": 7, "o:y": 25, "b:day": 30, "b:short": 4}
    length_ms = SECOND if per == "second" else HOUR
    asks = st.tuples(st.integers(0, 2), st.sampled_from(sorted(orders)), st.integers(0, 9), st.integers(1, 9))

    @settings(max_examples=40, deadline=None)
    @given(st.lists(asks, max_size=25))
    def run(steps: list[tuple[int, str, int, int]]) -> None:
        async def scenario() -> None:
            links = [Link(valkey.url, scripts.ALL, bound_ms=10_000) for _ in range(3)]
            for link in links:
                await link.open(within_ms=20_000)
            await links[0].call("FLUSHALL")
            clock = MovedClock(NOW)
            workers = [Allowances(PingCounts(link), Noted(), clock) for link in links]
            allowed: dict[tuple[str, int], int] = {}
            for worker, name, quarter, times in sorted(steps, key=lambda step: step[2]):
                clock.move(NOW + quarter * length_ms // 4 - clock.now_ms())
                calls = [may(workers[worker], orders[name]) for _ in range(times)]
                for yes in await asyncio.gather(*calls):
                    for rule in orders[name].ping_caps:
                        window = (rule.key, rule.window(clock.now_ms()).start_ms)
                        allowed[window] = allowed.get(window, 0) + yes
            for (key, _), count in allowed.items():
                assert count <= limits[key]
            for link in links:
                await link.close()

        asyncio.run(scenario())

    run()


@pytest.mark.parametrize("per", ["second", "hour"])
async def test_a_cap_is_spent_whole_by_workers_that_go_on(
    open_link: Callable[..., Awaitable[Link]], counters: Counters, clock: MovedClock, per: Per
) -> None:
    """Never less than the cap either, while those who leased still ask."""
    workers = [Allowances(PingCounts(await open_link()), Noted(), clock) for _ in range(3)]
    one = order(cap("o", 300, per))
    spent = await asyncio.gather(*(may(workers[at % 3], one) for at in range(900)))
    assert sum(spent) <= 300
    for worker in workers:
        while await may(worker, one):
            pass
    assert sum(worker.spent for worker in workers) == 300
