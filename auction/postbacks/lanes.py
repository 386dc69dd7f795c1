"""Who of all endpoints is called when: a lane for each host, so that a slow or dead one is in nobody's way but its own.

A host has a few places, all hosts together have some more. One that fails again and again keeps a single place and
rests between its calls, and all failing ones together have a small share of the whole: whoever answers always finds
room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from auction.clock import Clock
from auction.ledger.postbacks import Due

Key = tuple[str, int, str]
"""A postback: lead, place in its history, endpoint."""


class LaneLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Calls at one time: to one host, over all, and to failing hosts together. `queued` wait in a lane at most.

    A host is failing after so many calls in a row went wrong, and then rests longer and longer between two of them.
    """

    per_host: int = 4
    in_all: int = 64
    failing: int = 16
    failing_after: int = 2
    queued: int = 32
    first_rest_ms: int = 1_000
    longest_rest_ms: int = 60_000


class _Lane:
    __slots__ = ("failures", "queue", "rests_until_ms", "runners")

    def __init__(self) -> None:
        self.queue: deque[Due] = deque()
        self.runners: set[asyncio.Task[None]] = set()
        self.failures = 0
        self.rests_until_ms = 0


class Lanes:
    """Calls `step` for every postback that is put in, lane by lane; it says whether the host answered well."""

    def __init__(
        self,
        step: Callable[[Due], Awaitable[bool]],
        drained: Callable[[], None],
        clock: Clock,
        limits: LaneLimits,
    ) -> None:
        """`drained` is called when a lane has nothing left: there may be more for it."""
        self._step = step
        self._drained = drained
        self._clock = clock
        self._limits = limits
        self._lanes: dict[str, _Lane] = {}
        self._known: set[Key] = set()
        self._just_done: set[Key] = set()
        self._places = asyncio.Semaphore(limits.in_all)
        self._failing_places = asyncio.Semaphore(limits.failing)
        self.running = 0

    @property
    def queued(self) -> int:
        """Postbacks that wait for their turn, or are being sent."""
        return len(self._known)

    def is_failing(self, host: str) -> bool:
        """Whether the last calls to this host all failed."""
        lane = self._lanes.get(host)
        return lane is not None and self._fails(lane)

    def room(self, host: str) -> int:
        """How many more postbacks may be put into this host's lane."""
        lane = self._lanes.get(host)
        if lane is None:
            return self._limits.queued
        if not self._fails(lane):
            return max(0, self._limits.queued - len(lane.queue))
        return 0 if lane.queue or lane.runners or self._clock.now_ms() < lane.rests_until_ms else 1

    def about_to_read(self) -> None:
        """Call it before the ledger is asked what is due: what is done meanwhile may stand in its answer as due."""
        self._just_done.clear()

    def put(self, host: str, dues: Sequence[Due], most: int) -> None:
        """Send `most` of these (there is `room` for so many), those first that come first.

        Without those that are in a lane, or just were.
        """
        lane = self._lanes.setdefault(host, _Lane())
        seen = self._known | self._just_done
        for due in [due for due in dues if _key(due) not in seen][:most]:
            self._known.add(_key(due))
            lane.queue.append(due)
        for _ in range(min(self._limits.per_host - len(lane.runners), len(lane.queue))):
            runner = asyncio.create_task(self._run(lane), name="postback")
            lane.runners.add(runner)
            runner.add_done_callback(lane.runners.discard)

    def forget_queued(self) -> None:
        """Send nothing more of what waits; what is being sent goes on."""
        for lane in self._lanes.values():
            self._empty(lane)

    def keep_only(self, hosts: set[str]) -> None:
        """Forget how other hosts did."""
        for host in [host for host, lane in self._lanes.items() if host not in hosts and not lane.runners]:
            del self._lanes[host]

    async def close(self, within_s: float) -> None:
        """What is being sent is given a while; what is not over then is found again by the next."""
        self.forget_queued()
        tasks = [task for lane in self._lanes.values() for task in lane.runners]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, lane: _Lane) -> None:
        while lane.queue:
            if self._fails(lane):
                async with self._failing_places:
                    await self._next(lane)
            else:
                await self._next(lane)
        self._drained()

    async def _next(self, lane: _Lane) -> None:
        async with self._places:
            if not lane.queue:  # forgotten while we waited for a place
                return
            due = lane.queue.popleft()
            self.running += 1
            good = False
            try:
                good = await self._step(due)
            finally:
                self.running -= 1
                self._known.discard(_key(due))
                self._just_done.add(_key(due))
                self._note(lane, good)

    def _note(self, lane: _Lane, good: bool) -> None:
        lane.failures = 0 if good else lane.failures + 1
        if self._fails(lane):
            self._empty(lane)  # it stands in the ledger, and is put in again one by one
            more = min(lane.failures - self._limits.failing_after, 16)
            rest_ms = min(self._limits.first_rest_ms << more, self._limits.longest_rest_ms)
            lane.rests_until_ms = self._clock.now_ms() + rest_ms

    def _fails(self, lane: _Lane) -> bool:
        return lane.failures >= self._limits.failing_after

    def _empty(self, lane: _Lane) -> None:
        while lane.queue:
            self._known.discard(_key(lane.queue.pop()))


def _key(due: Due) -> Key:
    return due.lead_id, due.seq, due.endpoint
