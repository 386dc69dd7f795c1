"""Caps on pings held against the ledger, and their windows raised to what it says (P10). Safe on a running house.

The ledger's sum of a window is at least what workers may spend of it: they write before they lease (`ping_leases`). So
a window that counts less has forgotten leases, and is raised to that sum. First the counters are looked at, then the
ledger is read, then a window is raised if it did not move since the look: a lease that is made meanwhile is in one of
them. A window that counts more is no difference: a lease whose answer was lost is in the counters alone.

On a running house some leases are always written and not yet made, or written and to be taken back. So a window that
is behind is looked at three times, and raised by the smallest difference, to its limit at most. After a loss there
is nothing to wait for: what is on its way is counted once too often, which errs on the side of the cap.

Of seconds and minutes the ledger knows nothing. After a loss those of now are used up, and the next too where pings of
it may have been leased ahead (`counters/blocks.py`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from auction.counters.blocks import ahead_ms
from auction.counters.leasing import PingCounts, Raise
from auction.counters.naming import window_name
from auction.ledger.ping_leases import leased_pings
from auction.ledger.reader import Reader
from auction.ledger.sold import MOST_OWNERS
from auction.market.market import Market
from auction.market.windows import CapRule, Window
from auction.reconcile.comparing import Difference, batches

MOST_BUYERS = 64
"""Buyers whose counters are asked at once."""
MOST_WINDOWS = 500
"""Windows of one buyer in one call, which holds up all others."""
ROUNDS = 5
LOOKS, AGAIN_S = 3, 0.4
"""How often a window that is behind is looked at, and how far apart: longer than a lease takes from its writing to its
end."""
SKEW_MS = 1_000
"""How far the clocks of workers may be apart: where one is behind or ahead, other windows are open."""

T = TypeVar("T")


class PingCap(msgspec.Struct, frozen=True):
    """A cap on pings, under its buyer; `order_id` is None for the buyer's own."""

    buyer_id: str
    order_id: str | None
    rule: CapRule


class Behind(msgspec.Struct, frozen=True):
    """A window that counts fewer pings than are `known` to be leased: it is to count `more`."""

    cap: PingCap
    window: Window
    known: int
    counted: int
    more: int

    @property
    def place(self) -> tuple[str, str, int]:
        """Which window it is."""
        return self.cap.buyer_id, self.cap.rule.key, self.window.start_ms


class Raised(msgspec.Struct):
    """What was found: how many windows were compared, those that count less than the ledger says, and the buyers that
    moved on each time that theirs were to be raised."""

    windows: int = 0
    differences: list[Difference] = []
    busy: set[str] = set()


class Raising:
    """One comparison of caps on pings. `lost`: the counters have forgotten something, and no lease is made meanwhile.

    `budgets`: those of seconds and minutes are used up, too.
    """

    def __init__(
        self,
        reader: Reader,
        counts: PingCounts,
        now_ms: int,
        *,
        repair: bool,
        lost: bool = False,
        budgets: bool = False,
    ) -> None:
        self._reader = reader
        self._counts = counts
        self._now_ms = now_ms
        self._repair = repair
        self._lost = lost
        self._budgets = budgets

    async def run(self, market: Market) -> Raised:
        """Compares the windows of all caps on pings of this market, and with `repair` raises those that are behind.

        Raises `HouseError` where a store is away: then some may be raised, and it is safe to do it again.
        """
        caps = [cap for cap in ping_caps_of(market) if self._budgets or not cap.rule.short]
        found = Raised(windows=sum(not cap.rule.short for cap in caps))
        for _ in range(ROUNDS if caps else 0):
            behind = await self._looked_at(caps)
            left = await self._raise(behind) if self._repair else []
            differing = [each for each in behind if not each.cap.rule.short and each not in left]
            found.differences += map(_difference, differing)
            found.busy = {each.cap.buyer_id for each in left}
            if not left:
                break
            caps = _caps_of(left)
        return found

    async def _looked_at(self, caps: Sequence[PingCap]) -> list[Behind]:
        """The windows that are behind, and not only for a moment."""
        behind = await self._behind(caps)
        for _ in range(0 if self._lost else LOOKS - 1):
            if not behind:
                break
            await asyncio.sleep(AGAIN_S)
            behind = still(behind, await self._behind(_caps_of(behind)))
        return behind

    async def _behind(self, caps: Iterable[PingCap]) -> list[Behind]:
        """The windows that count less than is known of them."""
        of_buyer: defaultdict[str, list[tuple[PingCap, Window]]] = defaultdict(list)
        for cap in caps:
            of_buyer[cap.buyer_id] += ((cap, window) for window in open_windows(cap.rule, self._now_ms))
        looked: list[tuple[PingCap, Window, int]] = []
        for asked in batches(_steps(of_buyer), MOST_BUYERS):
            names = ([window_name(cap.rule.key, window.start_ms) for cap, window in each] for each in asked)
            calls = [
                self._counts.counted(each[0][0].buyer_id, of_step, self._now_ms)
                for each, of_step in zip(asked, names, strict=True)
            ]
            for each, counts in zip(asked, await asyncio.gather(*calls), strict=True):
                looked += ((cap, window, count) for (cap, window), count in zip(each, counts, strict=True))
        leased = await self._reader.read(partial(_sums, sorted(of_buyer), self._now_ms - SKEW_MS))
        behind = []
        for cap, window, counted in looked:
            known = leased.get((cap.buyer_id, cap.rule.key, window.start_ms), 0)
            if cap.rule.short:
                known = cap.rule.limit
            elif not self._lost:
                known = min(known, cap.rule.limit)
            if counted < known:
                behind.append(Behind(cap, window, known, counted, known - counted))
        return behind

    async def _raise(self, behind: Sequence[Behind]) -> list[Behind]:
        """Those that moved on since, and are as they were."""
        of_buyer: defaultdict[str, list[Behind]] = defaultdict(list)
        for each in behind:
            of_buyer[each.cap.buyer_id].append(each)
        left: list[Behind] = []
        for some in batches(_steps(of_buyer), MOST_BUYERS):
            calls = [
                self._counts.raise_to(step[0].cap.buyer_id, list(map(_raise_of, step)), self._now_ms)
                for step in some
            ]
            for step, done in zip(some, await asyncio.gather(*calls), strict=True):
                left += () if done else step
        return left


def ping_caps_of(market: Market) -> list[PingCap]:
    """All caps on pings, each once; a buyer's own are found with each of its orders."""
    caps: dict[tuple[str, str, str], PingCap] = {}
    for order in market.orders.values():
        for rule in order.ping_caps:
            order_id = None if rule.of_buyer else order.id
            caps[order.buyer_id, rule.key, rule.zone.key] = PingCap(order.buyer_id, order_id, rule)
    return list(caps.values())


def open_windows(rule: CapRule, now_ms: int) -> Iterator[Window]:
    """The windows in which pings may be leased by now, by the clock of any worker."""
    window = rule.window(now_ms - SKEW_MS)
    yield window
    while window.end_ms <= now_ms + SKEW_MS + ahead_ms(rule, window):
        window = rule.window(window.end_ms)
        yield window


def still(before: Iterable[Behind], now: Iterable[Behind]) -> list[Behind]:
    """Those that are behind now and were before, each by the smaller difference."""
    less = {each.place: each.more for each in before}
    return [replace(each, more=min(each.more, less[each.place])) for each in now if each.place in less]


def _caps_of(behind: Iterable[Behind]) -> list[PingCap]:
    """Each once, though several of its windows may be behind."""
    return list({(each.cap.buyer_id, each.cap.rule.key): each.cap for each in behind}.values())


def _steps(of_buyer: dict[str, list[T]]) -> Iterator[list[T]]:
    return (some for each in of_buyer.values() for some in batches(each, MOST_WINDOWS))


def _raise_of(behind: Behind) -> Raise:
    rule, window, to = behind.cap.rule, behind.window, behind.counted + behind.more
    return Raise(window_name(rule.key, window.start_ms), window.end_ms, rule.short, behind.counted, to)


def _difference(behind: Behind) -> Difference:
    cap, window = behind.cap, behind.window
    return Difference(
        cap.buyer_id,
        cap.order_id,
        f"pings/{cap.rule.per}",
        cap.rule.limit,
        window.start_ms,
        window.end_ms,
        behind.counted + behind.more,
        behind.counted,
    )


def _sums(buyer_ids: Sequence[str], after_ms: int, conn: Connection) -> dict[tuple[str, str, int], int]:
    leased = {}
    for some in batches(buyer_ids, MOST_OWNERS):
        for lease in leased_pings(conn, some, after_ms):
            leased[lease.buyer_id, lease.cap_key, lease.start_ms] = lease.pings
    return leased
