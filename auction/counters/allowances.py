"""Caps on pings, spent on every ask, without a round trip on every ask.

A worker leases pings in blocks out of the shared counts, and spends them from memory (how large a block is: see
`blocks`). Exact in one direction: all pings ever leased of a window stay within its cap, and a ping is spent at the
instant at which its buyer is asked, so there is never one ask too many: in no day, and in no second.

Which second it is, is what the worker's clock says. Where clocks differ by d, every second still has at most its
cap by the clocks of those who asked; what a buyer sees in a second of its own clock can hold pings of the second
beside it, from workers whose clock is up to d off. If the counters lose their memory, the windows of that moment
start anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol

from auction.clock import Clock
from auction.counters.blocks import Block
from auction.counters.counters import Counters
from auction.market.reasons import Reason
from auction.market.windows import CapRule
from auction.tally import counts

ROUNDS = 3
"""How often a ping leases before it goes without: what it leased may be spent by others before it wakes up, or its
window be over."""


class Asked(Protocol):
    """An order that is to be asked, and the ping caps this spends: its own and its buyer's, one at least."""

    @property
    def id(self) -> str: ...

    @property
    def buyer_id(self) -> str: ...

    @property
    def ping_caps(self) -> tuple[CapRule, ...]: ...


class Allowances:
    """The pings that this worker may spend. Counts those `spent`, the `leases`, and `refused` by (buyer, reason)."""

    def __init__(self, counters: Counters, clock: Clock) -> None:
        self.spent = self.leases = 0
        self.refused = counts()
        self._counters = counters
        self._clock = clock
        self._blocks: dict[
            tuple[str, str], Block
        ] = {}  # of (buyer, cap): a buyer's own are its orders' together
        self._of_order: dict[str, tuple[tuple[CapRule, ...], tuple[Block, ...]]] = {}

    async def spend(self, orders: Sequence[Asked]) -> list[Reason | None]:
        """Spend one ping of each order: None where it is to be asked now, else why it is not to be.

        Nearly always at once, from memory. What was allowed holds for the instant of the return: ask before you
        await anything. Raises `CountersUnavailable`.
        """
        for _ in range(ROUNDS):
            found, lacking, spent = self._take(orders, self._clock.now_ms())
            if not lacking:
                break
            for block in spent:  # they are all spent at the instant at which all are asked
                block.left += 1
                block.used -= 1
            await self._lease(lacking)
        else:
            found, _, _ = self._take(orders, self._clock.now_ms())
        allowed = found.count(None)
        self.spent += allowed
        if allowed < len(found):
            for order, reason in zip(orders, found, strict=True):
                if reason is not None:
                    self.refused[order.buyer_id, reason] += 1
        return found

    def keep_only(self, orders: Iterable[Asked]) -> None:
        """Forget the caps that are not of these orders: a new market no longer knows them."""
        known = {(order.buyer_id, rule.key) for order in orders for rule in order.ping_caps}
        self._blocks = {name: block for name, block in self._blocks.items() if name in known}
        self._of_order.clear()

    def _take(
        self, orders: Sequence[Asked], now_ms: int
    ) -> tuple[list[Reason | None], list[tuple[str, list[Block]]], list[Block]]:
        """Spends what is there. What stands in the way of each order; what has to be leased; what was spent."""
        found: list[Reason | None] = []
        lacking: list[tuple[str, list[Block]]] = []
        spent: list[Block] = []
        for order in orders:
            known = self._of_order.get(order.id)
            blocks = known[1] if known and known[0] is order.ping_caps else self._blocks_of(order)
            for block in blocks:
                if not block.has_one(now_ms):
                    break
            else:
                for block in blocks:
                    block.left -= 1
                    block.used += 1
                    if now_ms >= block.look_ahead_ms:
                        self._look_ahead(order.buyer_id, block, now_ms)
                spent += blocks
                found.append(None)
                continue
            empty = [block for block in blocks if not block.has_one(now_ms)]
            full = next((block for block in empty if now_ms < block.full_ms), None)
            if full is None:
                lacking.append((order.buyer_id, empty))
            found.append(Reason.PING_BUDGET if (full or empty[0]).rule.short else Reason.PING_CAP)
        return found, lacking, spent

    async def _lease(self, lacking: Sequence[tuple[str, list[Block]]]) -> None:
        """Leases for these blocks, all in one write."""
        now_ms = self._clock.now_ms()
        calls, starts = [], []
        for buyer_id, blocks in lacking:
            starts.append([block.start_ms for block in blocks])
            calls.append(self._counters.lease(buyer_id, [block.want() for block in blocks], now_ms))
            for block in blocks:
                block.leasing += 1
        self.leases += len(calls)
        try:
            replies = await asyncio.gather(*calls)
        finally:
            for _, blocks in lacking:
                for block in blocks:
                    block.leasing -= 1
        for (_, blocks), begun, reply in zip(lacking, starts, replies, strict=True):
            if isinstance(reply, int):
                blocks[reply].note_full(begun[reply], now_ms)
                continue
            for block, start_ms, pings in zip(blocks, begun, reply, strict=True):
                block.put(start_ms, pings)

    def _look_ahead(self, buyer_id: str, block: Block, now_ms: int) -> None:
        """Leases for the window to come. Nobody waits for it, and if it fails, whoever comes first leases."""
        want = block.want_ahead()
        self.leases += 1
        self._counters.lease(buyer_id, [want], now_ms).add_done_callback(
            partial(_put_ahead, block, want.start_ms)
        )

    def _blocks_of(self, order: Asked) -> tuple[Block, ...]:
        caps = order.ping_caps
        blocks = tuple(self._block(order.buyer_id, rule) for rule in caps)
        self._of_order[order.id] = (caps, blocks)
        return blocks

    def _block(self, buyer_id: str, rule: CapRule) -> Block:
        """The block of this cap; a changed limit holds from the next lease on, a changed zone has other windows."""
        block = self._blocks.get((buyer_id, rule.key))
        if block is None or block.rule.zone.key != rule.zone.key:
            block = self._blocks[buyer_id, rule.key] = Block(rule)
        block.rule = rule
        return block


def _put_ahead(block: Block, start_ms: int, lease: asyncio.Future[tuple[int, ...] | int]) -> None:
    if lease.cancelled() or lease.exception() is not None:
        return
    reply = lease.result()
    if not isinstance(reply, int):
        block.put(start_ms, reply[0])
