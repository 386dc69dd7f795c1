"""The steps on counts of pings: leased in blocks, looked at, and raised to what is known of them elsewhere.

Each is one atomic call, under way when the method returns, as those of `Counters`.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import NamedTuple

from auction.counters import scripts
from auction.counters.blocks import Want
from auction.counters.calls import Argument
from auction.counters.counters import DAY_MS
from auction.counters.link import Link
from auction.counters.naming import of_buyer, window_name

SHORT_KEPT_MS = 60_000
"""How long the count of a second or a minute is kept after its end; of the others, a day."""


class Leased(NamedTuple):
    """Pings that are the worker's, and how many are left in the counters."""

    pings: int
    left: int


class Raise(NamedTuple):
    """A window of a cap: to count `to` where it counts `seen`. `short`: it is a second or a minute."""

    name: str
    end_ms: int
    short: bool
    seen: int
    to: int


class PingCounts:
    """The steps, over one link. Times are arguments throughout."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def lease(self, buyer_id: str, wants: Sequence[Want], now_ms: int) -> Future[tuple[Leased, ...] | int]:
        """Lease pings out of some ping caps of one buyer and its orders: how many of each.

        Or which of them (from 0) is full: then nothing is leased of any. See `allowances`.
        """

        def read(reply: list[int]) -> tuple[Leased, ...] | int:
            if reply[0] < 0:
                return reply[1] - 1
            return tuple(map(Leased, reply[::2], reply[1::2]))

        words: list[Argument] = []
        for rule, start_ms, end_ms, most, share, least in wants:
            kept_as_of_ms = _end_of_count(end_ms, rule.short)
            words += (window_name(rule.key, start_ms), kept_as_of_ms, rule.limit, most, share, least)
        return self.link.run(scripts.LEASE, read, *of_buyer(buyer_id), now_ms, *words)

    def counted(self, buyer_id: str, names: Sequence[str], now_ms: int) -> Future[list[int]]:
        """How many pings were leased in each of these windows."""

        def read(reply: list[bytes | None]) -> list[int]:
            return [int(count or 0) for count in reply]

        return self.link.run(scripts.PEEK, read, *of_buyer(buyer_id), now_ms, *names)

    def raise_to(self, buyer_id: str, raises: Sequence[Raise], now_ms: int) -> Future[bool]:
        """Let these windows count more; False, with nothing changed, where one moved on since it was seen."""
        words: list[Argument] = []
        for name, end_ms, short, seen, to in raises:
            words += (name, _end_of_count(end_ms, short), seen, to)
        return self.link.run(scripts.RAISE, bool, *of_buyer(buyer_id), now_ms, *words)


def _end_of_count(end_ms: int, short: bool) -> int:
    """What `places.lua` is told as the end: that of a second or minute lies back, so it is forgotten sooner."""
    return end_ms + SHORT_KEPT_MS - DAY_MS if short else end_ms
