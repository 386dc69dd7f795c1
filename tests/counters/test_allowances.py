"""Ping caps are never overspent, whoever leases and however often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.counters import scripts
from auction.counters.allowances import ASK_AGAIN_MS, Allowances, Ask
from auction.counters.counters import Counters
from auction.counters.embedded import EmbeddedValkey
from auction.counters.link import CountersUnavailable, Link
from auction.market.windows import CapRule

UTC = ZoneInfo("UTC")
HOUR = 3_600_000
NOW = 1_700_000_000_000 // HOUR * HOUR + 60_000
HOUR_END = NOW - 60_000 + HOUR


def cap(key: str, limit: int, per: str = "hour") -> CapRule:
    return CapRule(key, "pings", "day" if per == "day" else "hour", limit, UTC)


async def spend(allowances: Allowances, ask: Ask, now_ms: int) -> bool:
    """What the ping service does for each order."""
    taken = allowances.take(ask.order_id, now_ms)
    return taken if taken is not None else (await allowances.refill([ask], now_ms))[0]


@pytest.mark.parametrize(
    ("limit", "leased"), [(1, 1), (19, 1), (40, 2), (1_000, 50), (2_000, 100), (1_000_000_000_000, 100)]
)
async def test_a_block_is_a_twentieth_of_what_is_left(counters: Counters, limit: int, leased: int) -> None:
    assert await counters.lease("b", [cap("k", limit)], NOW) == (leased, HOUR_END)
    assert await counters.peek("b", [cap("k", limit)], NOW) == [("k", leased, limit)]


async def test_a_lease_counts_in_all_caps_and_ends_with_the_first(counters: Counters) -> None:
    orders, buyers = cap("o", 40), cap("b", 1_000, "day")
    assert await counters.lease("b", [buyers, orders], NOW) == (2, HOUR_END)
    assert await counters.peek("b", [buyers, orders], NOW) == [("b", 2, 1_000), ("o", 2, 40)]
    assert await counters.lease("b", [cap("b", 2, "day"), orders], NOW) == (0, buyers.window(NOW).end_ms)
    assert await counters.peek("b", [buyers, orders], NOW) == [("b", 2, 1_000), ("o", 2, 40)]


async def test_one_round_trip_then_memory_then_the_next(counters: Counters) -> None:
    allowances = Allowances(counters)
    ask = Ask("o", "b", (cap("o", 60),))
    assert allowances.take("o", NOW) is None
    assert await allowances.refill([ask], NOW) == [True]
    before = counters.link.calls
    assert allowances.take("o", NOW) is True
    assert allowances.take("o", NOW) is True
    assert counters.link.calls == before
    assert allowances.take("o", NOW) is None
    assert allowances.spent == 3


async def test_exactly_the_cap_then_no_until_the_window_ends(counters: Counters) -> None:
    allowances = Allowances(counters)
    ask = Ask("o", "b", (cap("o", 100),))
    assert [await spend(allowances, ask, NOW) for _ in range(103)] == [True] * 100 + [False] * 3
    assert allowances.take("o", NOW) is False
    assert (allowances.spent, allowances.refused) == (100, 4)
    assert allowances.take("o", NOW + ASK_AGAIN_MS) is None  # the limit may have been raised
    raised = Ask("o", "b", (cap("o", 101),))
    assert [await spend(allowances, raised, NOW + ASK_AGAIN_MS) for _ in range(2)] == [True, False]
    assert allowances.take("o", HOUR_END - 1) is None
    assert await spend(allowances, ask, HOUR_END)


async def test_a_block_dies_with_its_window(counters: Counters) -> None:
    allowances = Allowances(counters)
    ask = Ask("o", "b", (cap("o", 100),))
    assert await allowances.refill([ask], HOUR_END - 1) == [True]
    assert allowances.take("o", HOUR_END) is None
    assert await allowances.refill([ask], HOUR_END) == [True]
    assert [allowances.take("o", HOUR_END) for _ in range(5)] == [True] * 4 + [None]


async def test_many_orders_travel_together_and_are_answered_in_order(counters: Counters) -> None:
    allowances = Allowances(counters)
    asks = [Ask(f"o{at}", "b" if at % 2 else "c", (cap(f"o{at}", at % 3),)) for at in range(30)]
    assert await allowances.refill(asks, NOW) == [at % 3 > 0 for at in range(30)]
    assert await allowances.refill([], NOW) == []


async def test_auctions_at_once_lease_one_block_and_a_ping_each(counters: Counters) -> None:
    allowances = Allowances(counters)
    ask = Ask("o", "b", (cap("o", 10_000),))
    answers = await asyncio.gather(*(allowances.refill([ask], NOW) for _ in range(20)))
    assert answers == [[True]] * 20
    assert (await counters.peek("b", ask.caps, NOW))[0][1] == 100 + 19


async def test_orders_the_market_dropped_are_forgotten(counters: Counters) -> None:
    allowances = Allowances(counters)
    for order_id in ("a", "b"):
        await allowances.refill([Ask(order_id, "b", (cap(order_id, 100),))], NOW)
    allowances.keep_only({"a"})
    assert allowances.take("a", NOW) is True
    assert allowances.take("b", NOW) is None


async def test_a_lease_that_fails_leaves_nothing_behind(valkey: EmbeddedValkey) -> None:
    link = Link(valkey.url, scripts.ALL, bound_ms=5_000)
    await link.open()
    allowances = Allowances(Counters(link))
    await link.close()
    ask = Ask("o", "b", (cap("o", 100),))
    with pytest.raises(CountersUnavailable):
        await allowances.refill([ask, Ask("p", "b", ask.caps)], NOW)
    assert allowances.take("o", NOW) is None
    allowances.keep_only(set())
    assert allowances.take("o", NOW) is None


def test_workers_never_overspend_any_cap_in_any_window(valkey: EmbeddedValkey) -> None:
    """Any mix of workers, orders and times: the asks allowed in a window are at most every cap's limit."""
    orders = {
        "x": (cap("o:x", 7), cap("b:day", 30, "day")),
        "y": (cap("o:y", 25), cap("b:day", 30, "day")),
    }
    asks = st.tuples(st.integers(0, 2), st.sampled_from(sorted(orders)), st.integers(0, 2), st.integers(1, 9))

    @settings(max_examples=40, deadline=None)
    @given(st.lists(asks, max_size=25))
    def run(steps: list[tuple[int, str, int, int]]) -> None:
        async def scenario() -> None:
            links = [Link(valkey.url, scripts.ALL, bound_ms=10_000) for _ in range(3)]
            for link in links:
                await link.open(within_ms=20_000)
            await links[0].call("FLUSHALL")
            workers = [Allowances(Counters(link)) for link in links]
            allowed: dict[tuple[str, int], int] = {}
            for worker, order_id, hours, times in sorted(steps, key=lambda step: step[2]):
                now_ms = NOW + hours * HOUR
                ask = Ask(order_id, "b", orders[order_id])
                calls = [spend(workers[worker], ask, now_ms) for _ in range(times)]
                for yes in await asyncio.gather(*calls):
                    for rule in ask.caps:
                        window = (rule.key, rule.window(now_ms).start_ms)
                        allowed[window] = allowed.get(window, 0) + yes
            for (key, _), count in allowed.items():
                assert count <= {"o:x": 7, "o:y": 25, "b:day": 30}[key]
            for link in links:
                await link.close()

        asyncio.run(scenario())

    run()


async def test_a_cap_is_spent_whole_by_workers_that_go_on(
    open_link: Callable[..., Awaitable[Link]], counters: Counters
) -> None:
    """Never less than the cap either, while those who leased still ask."""
    workers = [Allowances(Counters(await open_link())) for _ in range(3)]
    ask = Ask("o", "b", (cap("o", 300),))
    spent = await asyncio.gather(*(spend(workers[at % 3], ask, NOW) for at in range(900)))
    assert sum(spent) <= 300
    for worker in workers:
        while await spend(worker, ask, NOW):
            pass
    assert sum(worker.spent for worker in workers) == 300
