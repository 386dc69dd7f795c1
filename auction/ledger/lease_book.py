"""One worker's `LeaseBook` in the ledger: what it is about to lease of caps on pings, written before it does.

One write is under way at a time; what comes meanwhile is added up, a sum for each window of a cap, and goes with the
next. So what waits is bounded by the market's caps, however long the ledger is away.

A write of which nobody knows whether it was done is done again where it adds, and left where it takes off: then the
sum is too large, which errs on the side of the cap.

While the ledger is away pings go on: they are leased unwritten, counted, and written when it is back. What
is not written when the counters are lost comes back only with the worker that knows of it: it is written before that
worker rebuilds them (`flush`), and one that found the ledger away gives the others the time to write, too. So a cap
can be passed only where the counters are lost while the ledger is away or late, and by no more than what was leased
meanwhile by workers that died, or could not say it in the second after.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from time import monotonic
from typing import Final

from auction.clock import Clock
from auction.errors import HouseError
from auction.ledger.faults import away
from auction.ledger.ping_leases import add_leases
from auction.ledger.writer import Writer
from auction.ping_leases import PingLease

RETRY_S: Final = 0.5
"""A ledger that was away is tried again after so long."""
CLOSE_WITHIN_S: Final = 1.0

_log = logging.getLogger(__name__)
_Window = tuple[str, str, int, int]


class LeaseBookOfWorker:
    """Counts leases that were made `unwritten`. Make it inside the running loop."""

    def __init__(self, writer: Writer, clock: Clock, worker: str) -> None:
        """`worker` is this process's own, and no other's ever."""
        self.unwritten = 0
        self._writer = writer
        self._clock = clock
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._owed: defaultdict[_Window, int] = defaultdict(int)
        self._next: asyncio.Future[bool] = self._loop.create_future()
        self._writing: asyncio.Future[bool] | None = None
        self._since_s = 0.0
        self._retry: asyncio.TimerHandle | None = None

    @property
    def pings_unwritten(self) -> int:
        """Pings of which the ledger does not know yet, as far as is known."""
        return sum(pings for pings in self._owed.values() if pings > 0)

    async def ahead(self, leases: Sequence[PingLease], within_ms: int) -> None:
        """See `LeaseBook`."""
        self._add(leases)
        if not await self._done(within_ms / 1_000):
            self.unwritten += len(leases)

    def back(self, leases: Sequence[PingLease]) -> None:
        """See `LeaseBook`."""
        self._add(leases, -1)
        self._go()

    async def flush(self) -> None:
        """Returns when all that was said so far is written. Raises `HouseError` where it cannot be."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._go()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self._retry is not None:
            raise away()

    async def close(self) -> None:
        """Write what is owed, if the ledger is there."""
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self.flush()
        except (HouseError, TimeoutError):
            _log.warning("pings leased that the ledger does not know of: %d", self.pings_unwritten)
        if self._retry is not None:
            self._retry.cancel()

    def _add(self, leases: Iterable[PingLease], sign: int = 1) -> None:
        for lease in leases:
            self._owed[lease.buyer_id, lease.cap_key, lease.start_ms, lease.end_ms] += sign * lease.pings

    async def _done(self, within_s: float) -> bool:
        """Whether what was added just now is written; at once, where the ledger is known to be away or late."""
        mine = self._next
        self._go()
        late = self._writing is not None and monotonic() - self._since_s > within_s
        if self._retry is not None or late:
            return False
        await asyncio.wait([mine], timeout=within_s)
        return mine.done() and mine.result()

    def _go(self) -> None:
        """Write what is owed, unless a write is under way, or is to be tried later."""
        if self._writing is not None or self._retry is not None:
            return
        ready, self._next = self._next, self._loop.create_future()
        leases = self._taken()
        if not leases:  # what is to be added was to be taken off
            ready.set_result(True)
            return
        self._writing = ready
        self._since_s = monotonic()
        step = partial(add_leases, worker=self._worker, leases=leases, at_ms=self._clock.now_ms())
        try:
            self._writer.write(step).add_done_callback(partial(self._written, leases))
        except HouseError:
            self._ended(leases, written=False)

    def _taken(self) -> list[PingLease]:
        """What is owed, of windows that are not over."""
        now_ms = self._clock.now_ms()
        owed, self._owed = self._owed, defaultdict(int)
        return [PingLease(*window, pings) for window, pings in owed.items() if pings and window[3] > now_ms]

    def _written(self, leases: Sequence[PingLease], write: asyncio.Future[None]) -> None:
        error = None if write.cancelled() else write.exception()
        if error is not None and not isinstance(error, HouseError):
            _log.error("pings leased could not be written: %s", type(error).__name__)
        self._ended(leases, written=not write.cancelled() and error is None)

    def _ended(self, leases: Sequence[PingLease], *, written: bool) -> None:
        ended, self._writing = self._writing, None
        if not written:
            self._add(lease for lease in leases if lease.pings > 0)
            self._retry = self._loop.call_later(RETRY_S, self._again)
        if ended is not None and not ended.done():
            ended.set_result(written)
        self._go()

    def _again(self) -> None:
        self._retry = None
        self._go()
