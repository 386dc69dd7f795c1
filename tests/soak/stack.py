"""A stack of the soak's own, every part of it a process that may be killed or frozen, every link a proxy.

    sellers -> house (parent and workers) -> proxy -> Valkey (or the house's own, which has no link)
                                          -> proxy -> PostgreSQL (or SQLite, which has no link)
                                          -> proxy -> mock buyers, in two processes with journals

What the house starts again by itself (its workers) is left to it. All else is started again here, as an operator's
supervisor would. It is all asyncio; what blocks runs in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import psutil  # type: ignore[import-untyped]
from msgspec import Struct

from auction.counters.embedded import EmbeddedValkey
from loadtest.processes import Process, ProcessError
from tests.faults.killer import Own
from tests.faults.postgres import OwnPostgres
from tests.faults.proxy import Proxy, proxied
from tests.ports import held_port
from tests.soak.market import Market

ROOT = Path(__file__).parent.parent.parent
READY_S = 60.0
STOP_WITHIN_MS = 8_000
STOPPED_S = STOP_WITHIN_MS / 1_000 + 12
"""Beyond the house's own bound: its grace for workers (5 s), and closing of what it holds."""
Database = Literal["sqlite", "postgresql"]
Where = Literal["proxied", "embedded"]


class Plan(Struct, frozen=True):
    """What a stack is made of."""

    folder: Path
    market: Market
    database: Database = "postgresql"
    counters: Where = "proxied"
    workers: int = 2
    seed: int = 7
    clock_offset_ms: int = 0
    break_: str | None = None
    counters_timeout_ms: int = 250


class Stack:
    """The running parts. `problems` are what a part did that it must not, in sentences."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.own = Own()
        self.links: dict[str, Proxy] = {}
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.house: Process | None = None
        self.mocks: dict[str, Process] = {}
        self._ports: dict[str, int] = {}
        self._locks = {part: asyncio.Lock() for part in ("house", "valkey", "database", "first", "second")}
        self._ending = False
        self.serving = asyncio.Event()  # the house is there, and nobody is ending it
        self.expected_down = False  # somebody stops or kills the house at this moment

    # -- where things are

    @property
    def url(self) -> str:
        """The house's."""
        return f"http://127.0.0.1:{self._ports['house']}"

    @property
    def data_dir(self) -> Path:
        """The house's."""
        return self.plan.folder / "data"

    @property
    def ledger_url(self) -> str:
        """The ledger itself, past all proxies."""
        if self.plan.database == "postgresql":
            return self._postgres.url()
        return f"sqlite:///{self.data_dir / 'ledger.sqlite3'}"

    def journal(self, mock: str) -> Path:
        """What this process' buyers took."""
        return self.plan.folder / f"{mock}.journal"

    @property
    def logs(self) -> list[Path]:
        """What the house and its stores wrote: nothing personal may be there."""
        logs = [*self.plan.folder.glob("serve-*.log"), *self.data_dir.rglob("*.log*")]
        return logs if self.plan.database == "sqlite" else [*logs, self._postgres.log]

    def environ(self) -> dict[str, str]:
        """The house's settings, for it and for the commands beside it."""
        environ = {
            "AUCTION_ALLOW_PRIVATE_BUYERS": "1",
            "AUCTION_CLOCK_OFFSET_MS": str(self.plan.clock_offset_ms),
            "AUCTION_COUNTERS_TIMEOUT_MS": str(self.plan.counters_timeout_ms),
            "AUCTION_POST_WAIT_MS": "3000",
            "AUCTION_WORKER_LEASE_MS": "3000",
            "AUCTION_STOP_WITHIN_MS": str(STOP_WITHIN_MS),
            "AUCTION_DATA_DIR": str(self.data_dir),
        }
        if self.plan.counters == "proxied":
            environ["AUCTION_REDIS_URL"] = f"redis://127.0.0.1:{self.links['valkey'].port}"
        if self.plan.database == "postgresql":
            environ["AUCTION_DATABASE_URL"] = self._postgres.url(self.links["database"].port)
        return environ

    # -- who runs

    def workers(self) -> list[psutil.Process]:
        """The house's workers that run now. With one worker, the house itself is it."""
        house = self.house_process()
        if house is None:
            return []
        if self.plan.workers == 1:
            return [house]
        return [one for one in self.own.below(house.pid)[1:] if _is_worker(one)]

    def house_process(self) -> psutil.Process | None:
        """The house's own process, the parent of its workers."""
        return None if self.house is None or not self.house.running else self.own.get(self.house.pid)

    def processes(self, part: str) -> list[psutil.Process]:
        """All processes of the database, of Valkey or of a mock."""
        pid: int | None = None
        if part == "valkey" and self.plan.counters == "embedded":
            house = self.house_process()
            return [] if house is None else [one for one in self.own.below(house.pid) if _is_valkey(one)]
        if part == "valkey":
            pid = self._valkey.pid
        elif part == "database":
            pid = self._postgres.pid if self.plan.database == "postgresql" else None
        elif part in self.mocks and self.mocks[part].running:
            pid = self.mocks[part].pid
        return [] if pid is None else self.own.below(pid)

    # -- starting, and starting again

    async def open(self, parts: AsyncExitStack) -> None:
        """Start everything, lowest first; `parts` ends it."""
        plan = self.plan
        plan.folder.mkdir(parents=True, exist_ok=True)
        self.data_dir.mkdir(mode=0o700)
        for part in ("house", *plan.market.scripts()):  # they are started again where they were
            self._ports[part] = parts.enter_context(held_port())
        for mock, script in plan.market.scripts().items():
            (plan.folder / f"{mock}.yaml").write_text(script)
            parts.push_async_callback(self._end_mock, mock)
            await self.start_mock(mock)
            await self._link(parts, mock, self._ports[mock])
        (plan.folder / "counters").mkdir()
        self._valkey = EmbeddedValkey(plan.folder / "counters")
        parts.push_async_callback(asyncio.to_thread, self._valkey.stop)
        await self.start_valkey()
        if plan.counters == "proxied":
            await self._link(parts, "valkey", Path(self._valkey.url.removeprefix("unix://")))
        if plan.database == "postgresql":
            self._postgres = await asyncio.to_thread(OwnPostgres)
            parts.push_async_callback(asyncio.to_thread, self._end_postgres)
            await self.start_database()
            await self._link(parts, "database", self._postgres.socket)
        urls = {mock: f"http://127.0.0.1:{self.links[mock].port}" for mock in self.mocks}
        (plan.folder / "catalogue.yaml").write_text(plan.market.catalogue(urls))
        parts.push_async_callback(self._end_house)
        await self.start_house(again_for_s=0)

    async def start_house(self, again_for_s: float = READY_S) -> None:
        """The house, until it is ready; tried again for so long while a part that it needs is away.

        Raises `ProcessError`.
        """
        async with self._locks["house"]:
            until_s = time.monotonic() + again_for_s
            while not self._ending and (self.house is None or not self.house.running):
                self.counts["house started"] += 1
                number = self.counts["house started"]
                program = ["tests.soak.broken", self.plan.break_] if self.plan.break_ else ["auction"]
                command = [sys.executable, "-m", *program, "serve", "--port", str(self._ports["house"])]
                command += ["--workers", str(self.plan.workers)]
                command += ["--config", str(self.plan.folder / "catalogue.yaml")]
                log = self.plan.folder / f"serve-{number:03d}.log"
                self.house = Process(
                    command, log, cwd=ROOT, environ=self.environ(), end_within_s=STOPPED_S
                ).start()
                try:
                    await asyncio.to_thread(self.house.wait_for_line, r"listens on", READY_S)
                    self.serving.set()
                    return
                except ProcessError as error:
                    self.counts["house did not start"] += 1
                    if time.monotonic() > until_s:
                        raise
                    if self.house.running:
                        self.problems.append(f"the house hangs while it starts: {error}"[:400])
                        await asyncio.to_thread(self.house.end)
                    await asyncio.sleep(0.3)

    async def start_valkey(self) -> None:
        """Valkey, with what it had. The house's own, the house starts again."""
        if self.plan.counters == "embedded":
            return
        async with self._locks["valkey"]:
            await asyncio.to_thread(self._valkey.start)

    async def start_database(self) -> None:
        """PostgreSQL, with what it had."""
        async with self._locks["database"]:
            await asyncio.to_thread(self._postgres.start)

    async def start_mock(self, mock: str) -> None:
        """This process of buyers, who remember what they took."""
        async with self._locks[mock]:
            playing = self.mocks.get(mock)
            if playing is not None and playing.running:
                return
            folder, port = self.plan.folder, self._ports[mock]
            command = [sys.executable, "-m", "buyers_mock", str(folder / f"{mock}.yaml")]
            command += ["--port", str(port), "--log-entries", "0", "--seed", str(self.plan.seed)]
            command += ["--journal", str(self.journal(mock))]
            self.mocks[mock] = Process(command, folder / f"{mock}.log", cwd=ROOT).start()
            await asyncio.to_thread(self.mocks[mock].wait_for_line, r"listens on http://\S+")

    async def start_what_is_down(self) -> None:
        """Whatever was struck and not started again yet, lowest first."""
        for mock in tuple(self.mocks):
            await self.start_mock(mock)
        await self.start_valkey()
        if self.plan.database == "postgresql":
            await self.start_database()
        await self.start_house()

    # -- ends

    async def stop_house(self) -> None:
        """SIGTERM, and what has to follow: an end within its bound, with exit code 0."""
        house = self.house
        if house is None or not house.running:
            return
        self.serving.clear()
        began_s = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(house.pid, signal.SIGTERM)
        try:
            code = await asyncio.to_thread(house.wait, STOPPED_S)
        except ProcessError:
            self.problems.append(f"a stop took longer than {STOPPED_S:g} s ({house.output.name})")
            await asyncio.to_thread(house.end)
            return
        self.counts["house stopped"] += 1
        took_s = time.monotonic() - began_s
        if code not in (0, -signal.SIGKILL):
            self.problems.append(
                f"a stop ended with exit code {code} after {took_s:.1f} s ({house.output.name})"
            )

    async def kill_house(self) -> None:
        """`kill -9` of the parent; its workers end by themselves, within a bound."""
        house = self.house_process()
        if house is None or self.house is None:
            return
        self.serving.clear()
        below = self.own.below(house.pid)[1:]
        self.own.signal(house, signal.SIGKILL)
        await asyncio.to_thread(self.house.wait, 10)
        _, left = await asyncio.to_thread(psutil.wait_procs, below, STOPPED_S)
        if left:
            self.problems.append(f"{len(left)} workers outlived their house by {STOPPED_S:g} s")
            for one in left:
                self.own.signal(one, signal.SIGKILL)

    async def kill(self, part: str) -> None:
        """`kill -9` of Valkey, of PostgreSQL's first process, or of a mock."""
        processes = self.processes(part)
        if processes:
            self.own.signal(processes[0], signal.SIGKILL)
            if part in self.mocks:
                await asyncio.to_thread(self.mocks[part].wait, 10)
            else:
                await until(lambda: processes[0] not in self.processes(part), 10)

    async def lock_ledger(self, for_s: float) -> None:
        """SQLite: another writer takes its time. In a thread; it gives up where the house never lets it in."""
        await asyncio.to_thread(_hold_lock, self.data_dir / "ledger.sqlite3", for_s)

    async def healed(self, within_s: float = READY_S) -> None:
        """No fault on any link, everything there and thawed, and the house ready. Raises `TimeoutError`."""
        self.own.thaw_all()
        for link in self.links.values():
            await link.heal()
        await self.start_what_is_down()
        await until(lambda: len(self.workers()) == self.plan.workers, within_s)

    async def watch(self) -> None:
        """Sees that the house does not end by itself; starts it again, and says so."""
        while True:
            await asyncio.sleep(0.5)
            house = self.house
            lock = self._locks["house"]
            if house is not None and not house.running and not lock.locked() and not self.expected_down:
                self.serving.clear()
                self.problems.append(f"the house ended by itself with {house.wait(1)} ({house.output.name})")
                await self.start_house()

    async def _link(self, parts: AsyncExitStack, name: str, target: int | Path) -> None:
        seed = self.plan.seed + len(self.links)
        self.links[name] = await parts.enter_async_context(proxied(target, seed=seed))

    async def _end_house(self) -> None:
        self._ending = self.expected_down = True
        if self.house is not None:
            await asyncio.to_thread(self.house.end)

    async def _end_mock(self, mock: str) -> None:
        if mock in self.mocks:
            await asyncio.to_thread(self.mocks[mock].end)

    def _end_postgres(self) -> None:
        with contextlib.suppress(OSError):
            (self.plan.folder / "postgres.log").write_bytes(self._postgres.log.read_bytes())
        self._postgres.remove()


@asynccontextmanager
async def running(plan: Plan) -> AsyncIterator[Stack]:
    """A stack from its start to its end, with nothing of it left."""
    stack = Stack(plan)
    async with AsyncExitStack() as parts:
        parts.callback(stack.own.thaw_all)
        await stack.open(parts)
        parts.callback(stack.own.thaw_all)  # before anything is told to end
        yield stack


async def until(holds: Callable[[], bool], within_s: float) -> None:
    """Waits until it holds. Raises `TimeoutError`."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110  (what is awaited is another process)
            await asyncio.sleep(0.05)


def _is_worker(one: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return one.status() != psutil.STATUS_ZOMBIE and "worker" in one.cmdline()
    return False


def _is_valkey(one: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return one.status() != psutil.STATUS_ZOMBIE and "valkey-server" in " ".join(one.cmdline()[:1])
    return False


def _hold_lock(path: Path, for_s: float) -> None:
    other = sqlite3.connect(path, timeout=5, isolation_level=None)
    with contextlib.closing(other), contextlib.suppress(sqlite3.OperationalError):
        other.execute("BEGIN IMMEDIATE")
        time.sleep(for_s)
        other.execute("ROLLBACK")
