"""Caps on pings, spent on every ask, without a round trip on every ask.

A worker leases pings in blocks out of the shared counts, and spends them from memory (how large a block is: see
`blocks`). Exact in one direction: all pings ever leased of a window stay within its cap, and a ping is spent at the
instant at which its buyer is asked, so there is never one ask too many: in no day, and in no second.

So it stays when the counters are lost. What a worker means to lease of an hour or longer it first writes into the
ledger (`auction.ping_leases`), from which the counts are rebuilt; what the counters then gave less is taken back. As a
rule no ping waits for either, since the next block is leased before the present one is empty. Where one does, it
waits for the ledger `WRITE_MS` at most: while the ledger is away, pings go on, and only where the counters are lost
just then can a cap be passed (`ledger.lease_book` says by how much). Of seconds and minutes nothing is written: after a
loss the present one counts as used up.

Which second it is, is what the worker's clock says. Where clocks differ by d, every second still has at most its
cap by the clocks of those who asked; what a buyer sees in a second of its own clock can hold pings of the second
beside it, from workers whose clock is up to d off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from auction.clock import Clock
from auction.counters.blocks import Block, Want
from auction.counters.leasing import Leased, PingCounts
from auction.errors import HouseError
from auction.market.reasons import Reason
from auction.market.windows import CapRule
from auction.ping_leases import LeaseBook, PingLease
from auction.tally import counts

WRITE_MS = 25
"""How long a ping waits until the ledger has what is leased for it."""
WRITE_ASIDE_MS = 1_000
"""The same, where no ping waits."""
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


class Lacking(NamedTuple):
    """Blocks of one buyer that are leased together, and what is wanted for each."""

    buyer_id: str
    blocks: Sequence[Block]
    wants: Sequence[Want]


class Allowances:
    """The pings that this worker may spend. Counts those `spent`, the `leases`, and `refused` by (buyer, reason)."""

    def __init__(self, counts_of_pings: PingCounts, book: LeaseBook, clock: Clock) -> None:
        self.spent = self.leases = 0
        self.refused = counts()
        self._counts = counts_of_pings
        self._book = book
        self._clock = clock
        self._aside: set[asyncio.Task[None]] = set()
        # of (buyer, cap): a buyer's own are its orders' together
        self._blocks: dict[tuple[str, str], Block] = {}
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
            await self._lease([self._wanted(*each) for each in lacking], WRITE_MS)
        else:
            found, _, _ = self._take(orders, self._clock.now_ms())
        allowed = found.count(None)
        self.spent += allowed
        if allowed < len(found):
            for order, reason in zip(orders, found, strict=True):
                if reason is not None:
                    self.refused[order.buyer_id, reason] += 1
        return found

    async def close(self) -> None:
        """Lease no more."""
        for leasing in self._aside:
            leasing.cancel()
        await asyncio.gather(*self._aside, return_exceptions=True)

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
                    if block.left <= block.low or now_ms >= block.look_ahead_ms:
                        self._lease_on(order.buyer_id, block, now_ms)
                spent += blocks
                found.append(None)
                continue
            empty = [block for block in blocks if not block.has_one(now_ms)]
            full = next((block for block in empty if now_ms < block.full_ms), None)
            if full is None:
                lacking.append((order.buyer_id, empty))
            found.append(Reason.PING_BUDGET if (full or empty[0]).rule.short else Reason.PING_CAP)
        return found, lacking, spent

    def _wanted(self, buyer_id: str, blocks: list[Block]) -> Lacking:
        """What to lease for these blocks: under way from now on, so whoever comes next wants no more than one."""
        wants = [block.want() for block in blocks]
        for block in blocks:
            block.leasing += 1
        return Lacking(buyer_id, blocks, wants)

    async def _lease(self, lacking: Sequence[Lacking], within_ms: int) -> None:
        """Leases for these blocks, all in one write; what it is of hours and longer is in the ledger before."""
        self.leases += len(lacking)
        ahead = [lease for each in lacking for lease in _long(each, each.wants)]
        try:
            if ahead:
                await self._book.ahead(ahead, within_ms)
            now_ms = self._clock.now_ms()
            calls = [self._counts.lease(each.buyer_id, each.wants, now_ms) for each in lacking]
            replies = await asyncio.gather(*calls)
        except BaseException:
            if ahead:
                self._book.back(ahead)  # whether the counters gave any: nobody spends them
            raise
        finally:
            for each in lacking:
                for block in each.blocks:
                    block.leasing -= 1
        back: list[PingLease] = []
        for each, reply in zip(lacking, replies, strict=True):
            back += _settled(each, reply, now_ms)
        if back:
            self._book.back(back)

    def _lease_on(self, buyer_id: str, block: Block, now_ms: int) -> None:
        """Leases the next block, or for the window to come. Nobody waits for it, and if it fails, whoever comes first
        leases."""
        if block.left <= block.low and (want := block.want_next()) is not None:
            self._lease_aside(buyer_id, block, want)
        if now_ms >= block.look_ahead_ms and (want := block.want_ahead()) is not None:
            if not block.rule.short:
                self._lease_aside(buyer_id, block, want)
                return
            self.leases += 1
            self._counts.lease(buyer_id, [want], now_ms).add_done_callback(partial(_put_ahead, block, want))

    def _lease_aside(self, buyer_id: str, block: Block, want: Want) -> None:
        block.leasing += 1
        leasing = asyncio.create_task(self._leased_aside(Lacking(buyer_id, [block], [want])), name="leasing")
        self._aside.add(leasing)
        leasing.add_done_callback(self._aside.discard)

    async def _leased_aside(self, lacking: Lacking) -> None:
        with contextlib.suppress(HouseError):
            await self._lease([lacking], WRITE_ASIDE_MS)

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
        block.follow(rule)
        return block


def _put_ahead(block: Block, want: Want, lease: asyncio.Future[tuple[Leased, ...] | int]) -> None:
    if lease.cancelled() or lease.exception() is not None:
        return
    reply = lease.result()
    if not isinstance(reply, int):
        block.put(want.start_ms, *reply[0])


def _settled(lacking: Lacking, reply: tuple[Leased, ...] | int, now_ms: int) -> list[PingLease]:
    """Puts into the blocks what was leased; what was written ahead in vain."""
    if isinstance(reply, int):
        lacking.blocks[reply].note_full(lacking.wants[reply].start_ms, now_ms)
        return _long(lacking, lacking.wants)
    for block, want, leased in zip(lacking.blocks, lacking.wants, reply, strict=True):
        block.put(want.start_ms, *leased)
    short_of = [
        want._replace(most=want.most - got.pings) for want, got in zip(lacking.wants, reply, strict=True)
    ]
    return _long(lacking, short_of)


def _long(lacking: Lacking, wants: Sequence[Want]) -> list[PingLease]:
    """These, as far as they are of an hour or longer and not for nothing, as the ledger has them."""
    return [
        PingLease(lacking.buyer_id, want.rule.key, want.start_ms, want.end_ms, want.most)
        for want in wants
        if want.most and not want.rule.short
    ]
