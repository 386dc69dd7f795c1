"""Steps that must be done sooner or later, tried until they are.

A call to a store that failed may have been done all the same. Where that leaves something behind that would be in
somebody's way (a claim nobody works under, an intent nobody follows), the step that clears it is owed: it
is put here and tried again until the store says that it is done.

Whoever puts a step here vouches that it may be done at any later time and any number of times.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from auction import log
from auction.errors import HouseError

Step = Callable[[], Awaitable[object]]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
BATCH = 64


class Owed:
    """The steps owed to one store, oldest first. Counts those `done`, and those `dropped` where `most` wait already."""

    def __init__(self, store: str, most: int = 10_000) -> None:
        self.done = self.dropped = 0
        self._store = store
        self._most = most
        self._steps: deque[Step] = deque()
        self._trying = 0
        self._paying: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Steps not done yet, those that are being tried among them."""
        return len(self._steps) + self._trying

    def add(self, step: Step) -> None:
        """Owe this step. It is tried at once, in the background, with those before it."""
        if len(self._steps) >= self._most:
            self.dropped += 1
            return
        self._steps.append(step)
        if self._paying is None:
            self._paying = asyncio.create_task(self._pay(), name=f"owed-{self._store}")

    async def close(self, within_s: float = 1.0) -> None:
        """Try for a last while. What is left then stays undone, and is said in the log."""
        paying = self._paying
        if paying is not None:
            await asyncio.wait([paying], timeout=within_s)
            paying.cancel()
            await asyncio.gather(paying, return_exceptions=True)
        if self._steps:
            log.warning("steps_left_undone", store=self._store, steps=len(self._steps))

    async def _pay(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self._steps:
            batch = [self._steps.popleft() for _ in range(min(BATCH, len(self._steps)))]
            self._trying = len(batch)
            try:
                results = await asyncio.gather(*map(_try, batch))
            except asyncio.CancelledError:
                self._steps.extendleft(reversed(batch))
                raise
            finally:
                self._trying = 0
            left = [step for step, done in zip(batch, results, strict=True) if not done]
            self.done += len(batch) - len(left)
            if not left:
                pause_s = FIRST_PAUSE_S
                continue
            self._steps.extendleft(reversed(left))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self._paying = None


async def _try(step: Step) -> bool:
    """Whether it is over: done, or failing for a reason that trying again will not mend."""
    try:
        await step()
    except HouseError:
        return False
    except Exception:
        log.bug("owed_step_failed")
    return True
