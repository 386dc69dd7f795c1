"""What befalls a stack during a soak, by its seed: blows on its processes, and faults on its links."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from tests.faults.killer import Blow, Odds, picked, schedule
from tests.faults.proxy import (
    CloseAtOnce,
    Cut,
    Delay,
    Drip,
    Fault,
    Garbage,
    HalfClose,
    NeverAnswer,
    Oversize,
    Partition,
    Refuse,
    Reset,
    Way,
)
from tests.soak.stack import Database, Stack

EVERY_S = 4.0
"""A blow each: 150 in ten minutes, of which more than 100 kill or freeze."""
FAULT_EVERY_S = 6.0
_STRUCK: Odds = {
    "worker": {"kill": 38, "freeze": 16, "term": 4},
    "house": {"kill": 4, "term": 3},
    "valkey": {"kill": 8, "freeze": 8},
    "first": {"kill": 4, "freeze": 4},
    "second": {"kill": 4, "freeze": 4},
}
_DATABASES: dict[Database, Odds] = {
    "postgresql": {"database": {"kill": 6, "freeze": 6, "term": 3}},
    "sqlite": {"database": {"freeze": 8}},
}


class LinkFault(Struct, frozen=True):
    """At `at_s`, for `for_s`, this link suffers from that, on these ways (none: both)."""

    at_s: float
    link: str
    fault: Fault
    ways: tuple[Way, ...]
    for_s: float


def odds_of(database: Database) -> Odds:
    """Who is struck how often where nothing else is said."""
    return {**_STRUCK, **_DATABASES[database]}


def blows(seed: int, over_s: float, odds: Odds, every_s: float = EVERY_S) -> tuple[Blow, ...]:
    """The blows of a run."""
    return schedule(seed, over_s, round(over_s / every_s), odds)


def link_faults(
    seed: int, over_s: float, links: Sequence[str], every_s: float = FAULT_EVERY_S
) -> tuple[LinkFault, ...]:
    """The faults of a run's links. What is spoiled on a store's way up could be anything by then (it has no checksums
    on loopback), so bytes are changed only on the way down, and there so that no message is what it was."""
    rng = Random(f"links:{seed}")
    found = []
    for at in range(round(over_s / every_s)):
        link = rng.choice(links)
        ways: tuple[Way, ...] = rng.choice(((), ("up",), ("down",)))
        fault: Fault = rng.choice(
            (
                Delay(rng.uniform(5, 60), rng.uniform(0, 100)),
                Drip(rng.randrange(16, 256), rng.uniform(1, 10)),
                Partition(),
                Reset(),
                HalfClose(),
                Cut(rng.randrange(4_000)),
                Garbage(64),
                Oversize(rng.randrange(1, 9) * 1_000_000),
                CloseAtOnce(),
                NeverAnswer(),
                Refuse(),
            )
        )
        if isinstance(fault, Garbage | Oversize):
            ways = ("down",)
        if isinstance(fault, CloseAtOnce | NeverAnswer | Refuse):
            ways = ()
        found.append(LinkFault((at + rng.random()) * every_s, link, fault, ways, rng.uniform(0.3, 3.0)))
    return tuple(found)


class Trouble:
    """Makes it happen. `struck` counts what was done, by victim and act; `faults` by link and fault; `timeline` says
    when each began, in seconds since the start and by the machine's clock, so that logs can be read beside it."""

    def __init__(self, stack: Stack) -> None:
        self.struck: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.timeline: list[str] = []
        self._began_s = time.monotonic()
        self._stack = stack
        self._busy = {part: asyncio.Lock() for part in ("house", "valkey", "database", "first", "second")}

    @property
    def kills_and_freezes(self) -> int:
        """Of those that found their victim."""
        return sum(times for name, times in self.struck.items() if not name.endswith("term"))

    async def run(self, blows: Sequence[Blow], faults: Sequence[LinkFault]) -> None:
        """All of it, each at its time; returns when the last is over. A victim that is down or frozen is let be: the
        blow falls on a worker then."""
        async with asyncio.TaskGroup() as tasks:
            for blow in blows:
                tasks.create_task(self._at(blow))
            tasks.create_task(self._spoil(faults))

    async def _at(self, blow: Blow) -> None:
        await asyncio.sleep(blow.at_s)
        self._note(f"{blow.act} {blow.victim} for {blow.for_s:.1f} s")
        if blow.victim == "worker" or self._busy[blow.victim].locked():
            await self._strike_worker(blow)
            return
        async with self._busy[blow.victim]:
            await (self._strike_house(blow) if blow.victim == "house" else self._strike_part(blow))

    async def _strike_worker(self, blow: Blow) -> None:
        """A worker that is killed or ended is started again by its house, once that serves: until then it is let be."""
        await self._stack.serving.wait()
        one = picked(self._stack.workers(), blow.pick)
        if one is None:
            return
        if blow.act == "freeze":
            done = await self._stack.own.freeze([one], blow.for_s)
        else:
            done = self._stack.own.signal(one, signal.SIGKILL if blow.act == "kill" else signal.SIGTERM)
        self._count(replace(blow, victim="worker"), done)

    async def _strike_house(self, blow: Blow) -> None:
        stack = self._stack
        if stack.house_process() is None:
            return
        stack.expected_down = True
        try:
            await (stack.kill_house() if blow.act == "kill" else stack.stop_house())
            await stack.start_house()
        finally:
            stack.expected_down = False
        self._count(blow, True)

    async def _strike_part(self, blow: Blow) -> None:
        """Valkey, the database or a process of buyers: dead for a while and started again, or frozen."""
        stack, part = self._stack, blow.victim
        if part == "database" and stack.plan.database == "sqlite":
            await stack.lock_ledger(blow.for_s)
            self._count(blow, True)
            return
        processes = stack.processes(part)
        if not processes:
            return
        if blow.act == "freeze":
            done = await stack.own.freeze(processes, blow.for_s)
        elif blow.act == "term":  # one of PostgreSQL's children: it starts all others again
            one = picked(processes[1:], blow.pick)
            done = one is not None and stack.own.signal(one, signal.SIGKILL)
        else:
            await stack.kill(part)
            await asyncio.sleep(blow.for_s / 2)
            await self._start(part)
            done = True
        self._count(blow, done)

    async def _start(self, part: str) -> None:
        stack = self._stack
        if part == "valkey":
            await stack.start_valkey()
        elif part == "database":
            await stack.start_database()
        else:
            await stack.start_mock(part)

    async def _spoil(self, faults: Sequence[LinkFault]) -> None:
        """One after the other on each link; different links at the same time."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        free_s: dict[str, float] = {}
        async with asyncio.TaskGroup() as tasks:
            for one in sorted(faults, key=lambda one: one.at_s):
                at_s = max(one.at_s, free_s.get(one.link, 0.0))
                free_s[one.link] = at_s + one.for_s
                await asyncio.sleep(max(0.0, began_s + at_s - loop.time()))
                tasks.create_task(self._spoil_link(one))

    async def _spoil_link(self, one: LinkFault) -> None:
        link = self._stack.links[one.link]
        await link.put(one.fault, *one.ways)
        self.faults[f"{one.link}: {type(one.fault).__name__}"] += 1
        self._note(f"{one.fault} on {one.link} {' '.join(one.ways) or 'both ways'} for {one.for_s:.1f} s")
        try:
            await asyncio.sleep(one.for_s)
        finally:
            await link.heal()

    def _note(self, what: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.timeline.append(f"{time.monotonic() - self._began_s:8.2f}  {at}  {what}")

    def _count(self, blow: Blow, done: bool) -> None:
        if done:
            self.struck[f"{blow.victim} {blow.act}"] += 1
