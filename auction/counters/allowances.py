"""Caps on pings, spent on every ask, without a round trip on every ask.

A worker leases pings in blocks out of the shared counts, and spends them from memory. Exact in one
direction: all pings ever leased stay within every cap, so there is never one ask too many. What a worker
leased and did not spend when the window ends is lost; that a block is a 20th of what is left (at most 100)
keeps this small, and smaller the nearer the cap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from auction.counters.counters import BLOCK, Counters
from auction.market.windows import CapRule

ASK_AGAIN_MS = 10_000
"""A full cap is asked about again after this long: its limit may have been raised."""


class Ask(NamedTuple):
    """One order that is to be asked, and the ping caps this spends: its own and its buyer's, one at least."""

    order_id: str
    buyer_id: str
    caps: tuple[CapRule, ...]


class _Block(msgspec.Struct):
    """What this worker may still spend on one order before `end_ms`; none left, and full until `full_ms`."""

    left: int = 0
    end_ms: int = 0
    full_ms: int = 0
    leasing: int = 0


class Allowances:
    """The pings that this worker may spend. `spent` and `refused` are counted.

    The ping's way: `take` for each order with ping caps; those that answer None go into one `refill`.
    """

    def __init__(self, counters: Counters) -> None:
        self.spent = self.refused = 0
        self._counters = counters
        self._blocks: dict[str, _Block] = {}

    def take(self, order_id: str, now_ms: int) -> bool | None:
        """Spend one ping from memory: True; False if a cap is known to be full; None: `refill` decides."""
        block = self._blocks.get(order_id)
        if block is None:
            return None
        if block.left and now_ms < block.end_ms:
            block.left -= 1
            self.spent += 1
            return True
        if now_ms < block.full_ms:
            self.refused += 1
            return False
        return None

    async def refill(self, asks: Sequence[Ask], now_ms: int) -> list[bool]:
        """Lease for these orders, all in one write, and spend one ping of each: whether each may be asked.

        Raises `CountersUnavailable`.
        """
        leases = []
        for ask in asks:
            block = self._blocks.setdefault(ask.order_id, _Block())
            # while a block is on its way one ping is enough: it is spent here, and nothing piles up
            leases.append(self._counters.lease(ask.buyer_id, ask.caps, now_ms, 1 if block.leasing else BLOCK))
            block.leasing += 1
        try:
            leased = await asyncio.gather(*leases)
        finally:
            for ask in asks:
                self._blocks[ask.order_id].leasing -= 1
        return [
            self._put(ask.order_id, pings, end_ms, now_ms)
            for ask, (pings, end_ms) in zip(asks, leased, strict=True)
        ]

    def keep_only(self, order_ids: set[str]) -> None:
        """Forget the orders that a new market no longer knows."""
        self._blocks = {
            order_id: block
            for order_id, block in self._blocks.items()
            if order_id in order_ids or block.leasing
        }

    def _put(self, order_id: str, pings: int, end_ms: int, now_ms: int) -> bool:
        block = self._blocks[order_id]
        if pings == 0:
            block.full_ms = min(end_ms, now_ms + ASK_AGAIN_MS)
            self.refused += 1
            return False
        if end_ms == block.end_ms:
            block.left += pings - 1
        elif end_ms > block.end_ms:
            block.left, block.end_ms = pings - 1, end_ms
        self.spent += 1
        return True
