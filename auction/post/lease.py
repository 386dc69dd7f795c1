"""How long a worker may still act: its name in the ledger, and for how long its last beat vouches for it.

A worker that slept (stopped, swapped out, cut off from the ledger) cannot know whether the others fenced it meanwhile.
So before anything leaves the house it asks its lease: by a clock that nobody sets, the last beat that became durable
must be younger than the lease less a margin. The watchers wait for the whole lease, so there is a time at which neither
acts. The clock counts a suspended machine's sleep too, where the system has such a clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from auction.ledger.faults import away


def elapsed_s() -> float:
    """Seconds that have passed since some moment; it is never set, and goes on while the machine is suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Lease:
    """This worker's standing. `worker` is its name; it gets another one when it was fenced and begins anew."""

    def __init__(self, lease_ms: int, elapsed: Callable[[], float] = elapsed_s) -> None:
        self.lease_s = lease_ms / 1000
        self.beat_s = min(1.0, self.lease_s / 10)
        self.worker = ""
        self.elapsed = elapsed
        self._until_s = 0.0
        self._news = asyncio.Event()

    def begin(self, worker: str, at_s: float) -> None:
        """A new name, durable in the ledger; the write began `at_s`."""
        self.worker = worker
        self.renew(at_s)

    def renew(self, at_s: float) -> None:
        """A beat is durable; its write began `at_s`."""
        self._until_s = at_s + self.lease_s * 0.8
        self._tell()

    def end(self) -> None:
        """Fenced, or leaving: nothing is done any more under this name."""
        self.worker = ""
        self._until_s = 0.0
        self._tell()

    def stands(self, worker: str) -> bool:
        """Whether whoever acts as `worker` may act now."""
        return worker == self.worker and worker != "" and self.elapsed() < self._until_s

    async def wait(self, worker: str) -> bool:
        """Whether `worker` may act; where its last beat is too old, the next one decides. Waits for a lease at most."""
        give_up_s = self.elapsed() + self.lease_s
        while not self.stands(worker):
            left_s = give_up_s - self.elapsed()
            if worker != self.worker or left_s <= 0:
                return False
            try:
                async with asyncio.timeout(left_s):
                    await self._news.wait()
            except TimeoutError:
                return False
        return True

    async def holder(self) -> str:
        """The name to take a lead in under. Raises `HouseError` where the ledger has not heard of us for too long."""
        worker = self.worker
        if not await self.wait(worker):
            raise away()
        return worker

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
