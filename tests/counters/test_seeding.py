"""`seed`: a window that nobody counts yet begins with what was sold in it."""

from __future__ import annotations

import asyncio
from zoneinfo import ZoneInfo

import pytest

from auction.counters.answers import HELD, KEPT, Full
from auction.counters.counters import Counters, Place
from auction.counters.link import Link
from auction.market.windows import CapRule
from tests.counters.conftest import OpenLink

NOW = 1_700_000_000_000
UNTIL = NOW + 60_000
LEADS = CapRule("o:o:leads:day", "leads", "day", 3, ZoneInfo("UTC"))
SPEND = CapRule("b:spend:month", "spend", "month", 100_000_000, ZoneInfo("UTC"))


def entry(cap: CapRule, amount: int) -> tuple[str, int, int]:
    window = cap.window(NOW)
    return f"{cap.key}@{window.start_ms}", amount, window.end_ms


def place(ping_id: str) -> Place:
    return Place("b", "o", ping_id, 30_000_000, (LEADS, SPEND))


async def used(counters: Counters, at_ms: int = NOW) -> list[int]:
    return [count for _, count, _ in await counters.peek("b", [LEADS, SPEND], at_ms)]


@pytest.mark.parametrize(
    ("counted", "amounts", "seeded", "then"),
    [
        ((0, 0), (2, 60_000_000), 2, [2, 60_000_000]),
        ((0, 0), (0, 60_000_000), 1, [0, 60_000_000]),
        ((0, 0), (0, 0), 0, [0, 0]),
        ((1, 0), (2, 60_000_000), 1, [1, 60_000_000]),
        ((3, 9), (2, 60_000_000), 0, [3, 9]),
        ((0, 0), (9, 9_007_199_254_740_993), 2, [9, 9_007_199_254_740_993]),  # no double on the way
    ],
)
async def test_only_windows_without_a_count_are_seeded(
    counters: Counters, counted: tuple[int, int], amounts: tuple[int, int], seeded: int, then: list[int]
) -> None:
    before = [entry(cap, amount) for cap, amount in zip((LEADS, SPEND), counted, strict=True)]
    assert await counters.seed("b", before, NOW) == sum(map(bool, counted))
    entries = [entry(cap, amount) for cap, amount in zip((LEADS, SPEND), amounts, strict=True)]
    assert await counters.seed("b", entries, NOW) == seeded
    assert await used(counters) == then


async def test_what_was_seeded_counts_like_what_was_kept(counters: Counters, link: Link) -> None:
    await counters.seed("b", [entry(LEADS, 2), entry(SPEND, 60_000_000)], NOW)
    assert await counters.hold(place("p1"), NOW, UNTIL) == HELD
    assert await counters.hold(place("p2"), NOW, UNTIL) == Full(LEADS.key, UNTIL + 1)
    assert await counters.keep(place("p1"), NOW) == KEPT
    assert await used(counters) == [3, 90_000_000]
    name, _, end_ms = entry(LEADS, 2)
    assert await link.call("ZSCORE", "{buyer:b}:ends", name) == str(end_ms).encode()  # and is forgotten then


async def test_holds_that_are_dead_are_no_count(counters: Counters) -> None:
    await counters.hold(place("p1"), NOW, UNTIL)
    assert await counters.seed("b", [entry(LEADS, 2)], UNTIL) == 0
    assert await counters.seed("b", [entry(LEADS, 2)], UNTIL + 1) == 1
    assert await used(counters, UNTIL + 1) == [2, 0]


async def test_of_two_workers_one_seeds(counters: Counters, open_link: OpenLink) -> None:
    other = Counters(await open_link())
    seeded = await asyncio.gather(*(each.seed("b", [entry(LEADS, 2)], NOW) for each in (counters, other) * 5))
    assert sum(seeded) == 1
    assert await used(other) == [2, 0]
