"""Caps on pings held against the ledger: what was forgotten is counted again, what is on its way is no difference."""

from __future__ import annotations

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.counters.blocks import Block
from auction.counters.leasing import PingCounts, Raise
from auction.counters.naming import window_name
from auction.market.model import Per
from auction.market.windows import FOREVER_MS, CapRule, Window
from auction.ping_leases import PingLease
from auction.reconcile import leased
from auction.reconcile.leased import SKEW_MS, Behind, PingCap, Raising, open_windows, still
from auction.reconcile.reconciling import Outcome, Reconciling
from tests.house import NOON_MS, House
from tests.valkeys import tell

DAY = {"pings": 1_000, "per": "day"}
ORDERS: list[dict[str, Any]] = [
    {"id": "a", "buyer": "ann", "caps": [DAY, {"pings": 5, "per": "second"}, {"leads": 3, "per": "day"}]},
    {"id": "b", "buyer": "ann", "caps": [{"pings": 500, "per": "total"}]},
    {"id": "c", "buyer": "cid", "caps": [{"pings": 60, "per": "hour"}]},
]
BUYERS = {"ann": {"caps": [{"pings": 2_000, "per": "month"}, {"pings": 200, "per": "minute"}]}}
LONG = [
    ("ann", "o:a:pings:day"),
    ("ann", "b:pings:month"),
    ("ann", "o:b:pings:total"),
    ("cid", "o:c:pings:hour"),
]


@pytest.fixture
async def house(open_test_house: Any) -> House:
    opened: House = await open_test_house(ORDERS, buyers=BUYERS)
    return opened


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased, "AGAIN_S", 0.01)


async def compared(house: House, **how: Any) -> Outcome:
    exchange = house.exchange
    one = Reconciling(exchange.reader, exchange.counters, house.clock.now_ms(), **{"repair": False, **how})
    return await one.run(exchange.floor.market)


async def spend(house: House, *order_ids: str, times: int = 1) -> int:
    """How many pings are allowed; what is leased aside is here when it returns."""
    exchange = house.exchange
    orders: Any = [exchange.floor.market.orders[order_id] for order_id in order_ids]
    allowed = 0
    for _ in range(times):
        allowed += (await exchange.allowances.spend(orders)).count(None)
        await asyncio.gather(*exchange.allowances._aside)
    await exchange.lease_book.flush()
    return allowed


async def counts_of(house: House) -> dict[str, int]:
    """What the counters count of each cap on pings now."""
    market, counted = house.exchange.floor.market, {}
    for order in market.orders.values():
        rules = order.ping_caps
        for key, count, _ in await house.exchange.counters.peek(order.buyer_id, rules, house.clock.now_ms()):
            counted[key] = count
    return counted


async def lose(redis_url: str) -> None:
    """What the counters know of pings is gone."""
    await tell(
        redis_url,
        "DEL",
        *(f"{{buyer:{name}}}:{part}" for name in ("ann", "cid") for part in ("counts", "ends")),
    )


async def test_after_a_loss_each_window_counts_what_was_leased(house: House, emptied_valkey: str) -> None:
    for _ in range(4):  # seconds, of 5 pings each
        assert await spend(house, "a", "b", "c", times=3) == 9
        house.clock.move(1_000)
    before = await counts_of(house)
    assert {key: count > 0 for key, count in before.items()}["o:a:pings:day"]
    assert (await compared(house)).differences == []
    await lose(emptied_valkey)
    outcome = await compared(house, repair=True, all_open=True)
    assert outcome.mended == len(outcome.differences) == len(LONG)
    after = await counts_of(house)
    for _, key in LONG:
        assert after[key] == before[key], key
    assert (await compared(house)).differences == []


async def test_what_differs_is_told_by_cap_and_window(house: House, emptied_valkey: str) -> None:
    assert await spend(house, "c") == 1
    await lose(emptied_valkey)
    (found,) = (await compared(house)).differences
    assert (found.buyer_id, found.order_id, found.cap, found.limit) == ("cid", "c", "pings/hour", 60)
    assert (found.start_ms, found.end_ms, found.ledger, found.counters) == (
        NOON_MS,
        NOON_MS + 3_600_000,
        3,
        0,
    )
    outcome = await compared(house, repair=True)
    assert (outcome.mended, outcome.windows) == (1, 4 + 1)
    assert (await counts_of(house))["o:c:pings:hour"] == 3


async def test_counters_that_have_more_are_no_difference(house: House) -> None:
    exchange = house.exchange
    assert await spend(house, "c") == 1
    cap = exchange.floor.market.orders["c"].ping_caps[0]
    exchange.lease_book.back([PingLease("cid", cap.key, NOON_MS, NOON_MS + 3_600_000, 2)])
    await exchange.lease_book.flush()
    assert (await compared(house, repair=True)).differences == []
    assert (await counts_of(house))[cap.key] == 3


async def test_leases_on_their_way_are_no_difference(
    house: House, emptied_valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is written and not made, one is written and to be taken back, and then no more; a third is forgotten."""
    exchange = house.exchange
    book: Any = exchange.lease_book
    ahead, back, looked, goes_on = book.ahead, book.back, asyncio.Event(), asyncio.Event()
    assert await spend(house, "a") == 1
    await lose(emptied_valkey)

    async def dawdling(*arguments: Any) -> None:
        await ahead(*arguments)
        looked.set()
        await goes_on.wait()

    monkeypatch.setattr(book, "ahead", dawdling)
    order: Any = exchange.floor.market.orders["c"]
    spending = asyncio.create_task(exchange.allowances.spend([order]))
    await looked.wait()
    await ahead([PingLease("ann", "o:b:pings:total", 0, FOREVER_MS, 20)], 10_000)
    behind, looks = Raising._behind, []

    async def looking(raising: Raising, caps: Any) -> list[Behind]:
        found = await behind(raising, caps)
        looks.append(len(found))
        goes_on.set()
        await spending
        if len(looks) == 1:
            back([PingLease("ann", "o:b:pings:total", 0, FOREVER_MS, 20)])
        await book.flush()
        return found

    monkeypatch.setattr(Raising, "_behind", looking)
    found = (await compared(house, repair=True)).differences
    assert sorted(each.cap for each in found) == ["pings/day", "pings/month"]
    assert looks == [4, 2, 2]
    assert await spending == [None]


async def test_a_window_that_moves_on_is_looked_at_again(
    house: House, emptied_valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease between the look and the raise: it is not lost."""
    exchange = house.exchange
    assert await spend(house, "c") == 1
    await lose(emptied_valkey)
    raise_to, rule = PingCounts.raise_to, exchange.floor.market.orders["c"].ping_caps[0]
    moved: list[Any] = []

    def late(counts: PingCounts, buyer_id: str, raises: list[Raise], now_ms: int) -> Any:
        async def first_a_lease() -> bool:
            if not moved:
                (got,) = await _leased(counts, Block(rule), now_ms)
                moved.append(got)
            return await raise_to(counts, buyer_id, raises, now_ms)

        return asyncio.ensure_future(first_a_lease())

    async def _leased(counts: PingCounts, block: Block, now_ms: int) -> Any:
        block.has_one(now_ms)
        want = block.want()
        await exchange.lease_book.ahead([PingLease("cid", rule.key, want.start_ms, want.end_ms, 3)], 10_000)
        return await counts.lease("cid", [want], now_ms)

    monkeypatch.setattr(PingCounts, "raise_to", late)
    outcome = await compared(house, repair=True, all_open=True)
    assert moved[0].pings == 3
    assert outcome.mended == 1
    assert (await counts_of(house))[rule.key] == 6


async def test_one_that_moves_on_each_time_is_told_as_busy(
    house: House, emptied_valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await spend(house, "c") == 1
    await lose(emptied_valkey)

    def never(*_: object) -> Any:
        async def moved_on() -> bool:
            return False

        return asyncio.ensure_future(moved_on())

    monkeypatch.setattr(PingCounts, "raise_to", never)
    outcome = await compared(house, repair=True, all_open=True)
    assert (outcome.busy, outcome.differences) == ({"cid"}, [])


async def test_of_seconds_and_minutes_nothing_more_is_leased_after_a_loss(
    house: House, emptied_valkey: str
) -> None:
    assert await spend(house, "a") == 1
    await lose(emptied_valkey)
    outcome = await compared(house, repair=True, all_open=True, budgets=True)
    assert {each.cap for each in outcome.differences} == {"pings/day", "pings/month"}
    house.exchange.allowances.keep_only([])  # as another worker
    for _ in range(60):  # the minute's, and its first seconds'
        assert await spend(house, "a") == 0
        house.clock.move(1_000)
    assert await spend(house, "a") == 1
    assert (await counts_of(house))["b:pings:minute"] <= 2


PERS: list[Per] = ["second", "minute", "hour", "day", "week", "month", "total"]


@given(
    per=st.sampled_from(PERS),
    now_ms=st.integers(1_600_000_000_000, 1_900_000_000_000),
    skew_ms=st.integers(-SKEW_MS, SKEW_MS),
    earlier_ms=st.integers(0, 100_000),
)
def test_every_window_that_a_worker_may_have_leased_of_and_is_not_over_is_raised(
    per: Per, now_ms: int, skew_ms: int, earlier_ms: int
) -> None:
    """Whatever its clock says, within the skew: of its own window then, and, in the last part of it, of the next."""
    rule = CapRule("k", "pings", per, 5, ZoneInfo("America/New_York"))
    open_now = list(open_windows(rule, now_ms))
    by_clock_ms = now_ms + skew_ms - earlier_ms
    block = Block(rule)
    block.has_one(by_clock_ms)
    leased_of = [rule.window(by_clock_ms)]
    if by_clock_ms >= block.look_ahead_ms:
        leased_of.append(rule.window(block.end_ms))
    for window in leased_of:
        if window.end_ms > now_ms + skew_ms:
            assert window in open_now
    assert len(open_now) <= 5
    assert open_now == sorted(set(open_now))


def test_of_two_looks_the_smaller_difference_counts() -> None:
    cap = PingCap("ann", "a", CapRule("k", "pings", "day", 100, ZoneInfo("UTC")))
    other = PingCap("ann", "a", CapRule("l", "pings", "day", 100, ZoneInfo("UTC")))
    window = Window(0, 10)
    before = [Behind(cap, window, 30, 10, 20), Behind(other, window, 5, 0, 5)]
    assert still(before, [Behind(cap, window, 50, 15, 35)]) == [Behind(cap, window, 50, 15, 20)]
    assert still(before, [Behind(cap, window, 50, 45, 5)]) == [Behind(cap, window, 50, 45, 5)]
    assert still(before, []) == []


async def test_a_count_is_raised_where_it_is_as_it_was_seen(house: House) -> None:
    counts = PingCounts(house.exchange.link)
    one, other = window_name("k", 0), window_name("l", 0)
    both = [Raise(one, NOON_MS + 1, False, 0, 7), Raise(other, NOON_MS + 1, True, 0, 3)]
    assert await counts.raise_to("ann", both, NOON_MS)
    assert not await counts.raise_to("ann", both, NOON_MS)
    assert await counts.counted("ann", [one, other, "x@0"], NOON_MS) == [7, 3, 0]
    ends = [
        int(float(await house.exchange.link.call("ZSCORE", "{buyer:ann}:ends", name)))
        for name in (one, other)
    ]
    assert ends[0] == NOON_MS + 1
    assert ends[1] < NOON_MS, "a second's is forgotten soon"


async def test_a_market_without_ping_caps_asks_nobody(
    open_sqlite_house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_sqlite_house([{"id": "a", "buyer": "ann", "caps": [{"leads": 3, "per": "day"}]}])
    exchange = house.exchange
    calls = exchange.link.calls
    raising = Raising(
        exchange.reader, PingCounts(exchange.link), NOON_MS, repair=True, lost=True, budgets=True
    )
    assert (await raising.run(exchange.floor.market)).windows == 0
    assert exchange.link.calls == calls
