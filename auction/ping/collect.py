"""One fan-out, from the first request written to the close: the auction's ear on the wire.

The fan-out client calls `answered` and `failed`; this reads what was said, tells the pure auction, and resolves one
future when the auction can close. There is one timer at a time for the whole auction, set to the nearest time-out
among the orders that are still out: no task and no timer per buyer.
"""

from __future__ import annotations

import asyncio
from operator import itemgetter
from time import perf_counter

from auction.buyers.protocol import NoBid, Offered, read_bids
from auction.market.reasons import Reason
from auction.ping.auction import Auction

_MS = itemgetter(1)


class Collecting:
    """The answers of one tier of one auction. `closed` tells the fan-out client that nobody listens any more."""

    __slots__ = (
        "_auction",
        "_left_s",
        "_loop",
        "_started_s",
        "_timer",
        "_waits",
        "closed",
        "done",
        "saved_ms",
    )

    def __init__(self, auction: Auction, loop: asyncio.AbstractEventLoop, left_s: float) -> None:
        self.closed = False
        self.done: asyncio.Future[None] = loop.create_future()
        self.saved_ms = 0.0
        self._auction = auction
        self._loop = loop
        self._left_s = left_s
        self._started_s = perf_counter()
        self._timer: asyncio.TimerHandle | None = None
        self._waits: list[tuple[int, float]] = []  # (slot, ms from the start)

    def wait_for(self, waits: list[tuple[int, float]]) -> asyncio.Future[None]:
        """All asks are out. `waits`: (slot, how long its answer is worth waiting for, in ms), of those that are not
        worth the whole time.

        Resolves at the close.
        """
        self._auction.asks_done()
        self._waits = waits
        if self._auction.can_close():
            self._close()
        else:
            self._arm()
        return self.done

    def answered(self, slot: int, status: int, body: bytes, elapsed_us: int) -> None:
        """A whole answer came (called by the fan-out client, never after `closed`)."""
        auction = self._auction
        order = auction.asked[slot]
        read = read_bids(status, body, max_micros=order.max_micros, order_exclusive=order.exclusive)
        if isinstance(read, Offered):
            auction.bid(slot, read.bids, elapsed_us)
        elif isinstance(read, NoBid):
            auction.refuse(slot, Reason.NO_BID, elapsed_us, read.reason)
        else:
            auction.refuse(slot, read.reason, elapsed_us, read.said)
        # Before `wait_for` the asks are still going out: nothing can be settled yet.
        if self._timer is not None and auction.can_close():
            self._close()

    def failed(self, slot: int, reason: Reason, elapsed_us: int) -> None:
        """This buyer gave no answer, and will not (called by the fan-out client)."""
        self._auction.refuse(slot, reason, elapsed_us)
        if self._timer is not None and self._auction.can_close():
            self._close()

    def _arm(self) -> None:
        after_s = self._left_s
        if self._waits:
            after_s = min(after_s, min(map(_MS, self._waits)) / 1000)
        after_s -= perf_counter() - self._started_s
        self._timer = self._loop.call_later(max(0.0, after_s), self._time_is_up)

    def _time_is_up(self) -> None:
        elapsed_s = perf_counter() - self._started_s
        # A millisecond of grace: the loop's timers count in whole ones.
        over_ms = (elapsed_s + 0.001) * 1000
        if over_ms < self._left_s * 1000:
            waits, self._waits = self._waits, []
            for slot, ms in waits:
                if ms <= over_ms:
                    self._auction.refuse(slot, Reason.TIMEOUT, int(elapsed_s * 1e6))
                elif self._auction.is_open(slot):
                    self._waits.append((slot, ms))
            if not self._auction.can_close():
                self._arm()
                return
        else:
            self._auction.cut_off(Reason.TIMEOUT, int(elapsed_s * 1e6))
        self._close()

    def _close(self) -> None:
        elapsed_s = perf_counter() - self._started_s
        if self._auction.outstanding:
            self.saved_ms = max(0.0, (self._left_s - elapsed_s) * 1000)
            self._auction.cut_off(Reason.CUT_OFF, int(elapsed_s * 1e6))
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if not self.done.done():
            self.done.set_result(None)
