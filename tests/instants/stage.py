"""The stage of all lives: one ledger, one Valkey, one clock, mock buyers on sockets, and two workers, A and B.

A is the one to whom things happen; B is there to finish what A left. Stores, buyers and B serve one life after the
other, each an hour later than the one before, so every life has the windows of its caps to itself. A worker that
died is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from sqlalchemy import text

from auction import idempotency
from auction.counters.link import Link
from auction.counters.naming import REBUILD, RECONCILE
from auction.ledger.workers import all_workers
from auction.post import book, claiming, offering, owed
from auction.postbacks import sender
from auction.reconcile import rebuilding
from auction.reconcile.own_link import own_link
from auction.recovery import finishing
from buyers_mock.manner import Delivery, Play
from buyers_mock.player import Player
from buyers_mock.script import Script, read_script
from buyers_mock.server import Listening, listening
from tests.house import NOON_MS, _apply, dumped
from tests.instants.market import Telling, catalogue_of
from tests.instants.seams import Fault
from tests.instants.worker import LEASE_MS, Clock, Worker, open_worker, seamed

HOUR_MS = 3_600_000
UNHURRIED = (book, claiming, offering, owed, finishing, idempotency)
"""Rooms that wait a while before they try again. Here they do not."""


class Stage:
    """Open it with `open_stage`."""

    def __init__(
        self, folder: Path, redis_url: str, ledger_url: str, mock: Listening, told: list[dict[str, Any]]
    ) -> None:
        self.folder = folder
        self.redis_url = redis_url
        self.ledger_url = ledger_url
        self.mock = mock
        self.told = told
        """What was told to sellers' endpoints, first to last."""
        self.clock = Clock(NOON_MS)
        self.gone: set[str] = set()
        self.runs = 0
        self._workers: dict[str, Worker] = {}

    @property
    def a(self) -> Worker:
        """To whom it happens."""
        return self._workers["a"]

    @property
    def b(self) -> Worker:
        """Who takes over."""
        return self._workers["b"]

    @property
    def living(self) -> list[Worker]:
        """Those that beat."""
        return [one for one in self._workers.values() if not (one.seams.dead or one.seams.frozen)]

    async def next_life(self) -> None:
        """Both workers there, a new hour, and buyers who remember nothing."""
        for name in ("a", "b"):
            worker = self._workers.get(name)
            if worker is None or worker.seams.dead:
                self._workers[name] = await open_worker(
                    name, self.folder, self.redis_url, self.ledger_url, self.clock, self.gone
                )
            self._workers[name].begin()
        self.runs += 1
        now_ms = self.clock.now_ms()
        await self.move(HOUR_MS - now_ms % HOUR_MS)
        self.mock.stage.reset()
        self.told.clear()

    async def move(self, by_ms: int) -> None:
        """Time passes, and who lives says so."""
        self.clock.move(by_ms)
        for worker in self.living:
            await worker.beat()

    async def bury(self, worker: Worker, tasks: Sequence[asyncio.Task[Any]]) -> None:
        """A worker that ended is taken away."""
        await worker.close(tasks)
        self._workers.pop(worker.name, None)

    async def close(self) -> None:
        """End both."""
        for worker in tuple(self._workers.values()):
            await worker.close()
        self._workers.clear()

    async def take_over(self, of: Worker) -> None:
        """What the other workers do once this one is dead or silent: they look, until it is fenced and nothing of it
        is left to finish."""
        mine = of.exchange.lease.worker
        await self.let_marks_lapse()
        if of.seams.dead:
            of.ended()
        for _ in range(40):
            await self.move(LEASE_MS // 4)
            for worker in self.living:
                await worker.look()
            if mine not in await self._alive():
                break
        else:
            raise AssertionError(f"worker {of.name} was never fenced")
        for _ in range(3):  # what was found only just now
            for worker in self.living:
                await worker.look()

    async def compare(self) -> None:
        """The comparison of counters and ledger that a worker asked for when it fenced another, was fenced itself, or
        was in doubt. The one that comes by itself once a day is not waited for."""
        link = self.b.exchange.link
        await link.call("SET", RECONCILE, "due")
        for worker in self.living:
            await worker.exchange.rebuilding._look_after()
        if await link.call("GET", RECONCILE) == b"soon":
            await link.call("DEL", RECONCILE)
            await self.b.exchange.rebuilding._look_after()

    async def lose_counters(self) -> None:
        """All that the counters knew is gone, and every worker has found out."""
        async with self._plainly() as link:
            await link.call("FLUSHALL")
        for worker in self.living:
            await worker.shut_out()

    async def die_over(self, fault: Fault, run: Any, attempt: Any) -> None:
        """A third worker takes this lead, and this befalls it."""
        third = await open_worker("c", self.folder, self.redis_url, self.ledger_url, self.clock, self.gone)
        third.seams.begin(fault)
        await run.send_once(third, attempt)
        assert third.seams.dead, "it was to die"
        third.ended()
        await third.close(run.late_tasks())

    async def let_marks_lapse(self) -> None:
        """Whoever began to rebuild the counters and came to no end is not waited for any more: it was silent for
        longer than its mark, which goes by the counters' own clock."""
        if not self.b.exchange.link.up:
            async with self._plainly() as link:
                await link.call("DEL", REBUILD)

    async def good_again(self) -> None:
        """All workers trade on the counters, those too that slept while they were rebuilt."""
        for worker in self.living:
            if worker.exchange.link.up:
                continue
            await worker.rebuild()
            assert await worker.exchange.link.passed(within_ms=5_000), "the counters are not good again"

    @asynccontextmanager
    async def _plainly(self) -> AsyncIterator[Link]:
        link = Link(self.redis_url, bound_ms=10_000)
        await link.open()
        try:
            yield link
        finally:
            await link.close()

    async def open_leads(self) -> int:
        """Leads that somebody still has to finish."""
        strays = "SELECT COUNT(*) FROM leads WHERE state IN ('received', 'offered')"
        return int(await self.b.exchange.reader.read(lambda conn: conn.execute(text(strays)).scalar_one()))

    async def _alive(self) -> set[str]:
        workers = await self.b.exchange.reader.read(all_workers)
        return {worker.id for worker in workers if not worker.fenced}


class LosesFirst(Player):
    """A buyer whose first answer on a lead is lost on the way; what it decided stands."""

    def reset(self) -> None:
        """Nothing was lost yet."""
        super().reset()
        self._lost = False

    def play(self, kind: Any, key: bytes | None, body: bytes) -> Play:
        """As any buyer, but for that."""
        play = super().play(kind, key, body)
        if kind != "post" or self._lost:
            return play
        self._lost = True
        return replace(play, answer=b"", delivery=Delivery.RESET)


@asynccontextmanager
async def open_stage(
    folder: Path, redis_url: str, ledger_url: str, lives: Sequence[Any]
) -> AsyncIterator[Stage]:
    """Everything that these lives need."""
    manners: dict[str, Mapping[str, Any]] = {}
    for life in lives:
        manners |= life.manners
    script: Script = read_script(dumped({"buyers": {name: dict(each) for name, each in manners.items()}}))
    async with listening(script) as mock, Telling.listening() as telling:
        for name in {name for life in lives for name in life.lose_first}:
            player = LosesFirst(name, script.buyers[name], 7)
            mock.stage.players[name] = player
            for kind in ("ping", "post"):
                mock.stage.doors[f"/{name}/{kind}".encode()] = (player, kind)
        catalogue = catalogue_of(lives, mock.url, telling.url)
        await asyncio.to_thread(_apply, ledger_url, catalogue)
        stage = Stage(folder, redis_url, ledger_url, mock, telling.told)
        with unhurried(stage.clock):
            try:
                yield stage
            finally:
                await stage.close()


@contextmanager
def unhurried(clock: Clock) -> Iterator[None]:
    """Nobody waits by the machine's clock: pauses are none, and who would wait for another is told at once to come
    again."""

    class Unhurried:
        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

        @staticmethod
        async def sleep(_: float) -> None:
            await asyncio.sleep(0)

    def for_ever() -> float:
        return float("inf")

    changed: list[tuple[Any, str, Any]] = [(room, "asyncio", Unhurried()) for room in UNHURRIED]
    changed += [(claiming, "perf_counter", for_ever), (idempotency, "perf_counter", for_ever)]
    changed += [(sender, "monotonic", clock.elapsed_s)]
    changed += [(rebuilding, "own_link", seamed(own_link))]
    before: list[tuple[Any, str, Callable[..., Any]]] = [
        (room, name, getattr(room, name)) for room, name, _ in changed
    ]
    for room, name, value in changed:
        setattr(room, name, value)
    try:
        yield
    finally:
        for room, name, value in before:
            setattr(room, name, value)
