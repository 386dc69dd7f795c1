"""Pings, workers that die, counters that are lost and rebuilt, all at random: what is spent of a window never passes
its cap; and when it was quiet, nothing is lost but what dead workers had in hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from auction.clock import MovedClock
from auction.counters import allowances, scripts
from auction.counters.allowances import Allowances
from auction.counters.counters import Counters
from auction.counters.faults import CountersUnavailable
from auction.counters.leasing import PingCounts
from auction.counters.link import Link
from auction.counters.naming import HOUSE
from auction.ledger.engine import open_engine
from auction.ledger.faults import away
from auction.ledger.lease_book import LeaseBookOfWorker
from auction.ledger.reader import Reader
from auction.ledger.writer import Writer
from auction.market.model import Per
from auction.market.windows import CapRule
from auction.reconcile import rebuilding
from auction.reconcile.rebuilding import Rebuilding
from auction.reconcile.reconciling import Reconciling
from tests.api.wired import until
from tests.house import NOON_MS
from tests.valkeys import OwnValkey

HOUR = 3_600_000


class Order(NamedTuple):
    """What is looked at of an order."""

    id: str
    buyer_id: str
    ping_caps: tuple[CapRule, ...]
    caps: tuple[CapRule, ...] = ()


def cap(key: str, limit: int, per: Per) -> CapRule:
    return CapRule(key, "pings", per, limit, ZoneInfo("UTC"))


OF_BUYER = (cap("b:pings:day", 600, "day"), cap("b:pings:minute", 90, "minute"))
ORDERS = {
    "x": Order("x", "ann", (cap("o:x:pings:hour", 300, "hour"), *OF_BUYER)),
    "y": Order("y", "ann", (cap("o:y:pings:total", 250, "total"), *OF_BUYER)),
    "z": Order("z", "ben", (cap("o:z:pings:hour", 2_000, "hour"), cap("o:z:pings:total", 19, "total"))),
    "w": Order("w", "ben", (cap("o:w:pings:day", 700, "day"),)),
}
MARKET: Any = SimpleNamespace(orders=ORDERS)


class Ledger:
    """A worker's way into the ledger, which can be cut."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.cut = False

    def write(self, op: Any) -> Any:
        if self.cut:
            raise away()
        return self.writer.write(op)


class Worker:
    """What a worker has to do with pings, on a clock and stores that it shares with others."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = stage
        self.writer = Writer(stage.engine)
        self.ledger = Ledger(self.writer)
        ledger: Any = self.ledger
        self.book = LeaseBookOfWorker(ledger, stage.clock, name)
        self.rebuilding = Rebuilding(
            stage.valkey.url, stage.reader, ledger, self.book, stage.clock, lambda: MARKET, 0
        )
        self.link = Link(stage.valkey.url, scripts.ALL, bound_ms=5_000)
        self.allowances = Allowances(PingCounts(self.link), self.book, stage.clock)

    async def open(self) -> None:
        self.link.guard(await self.rebuilding.open())
        self.link.start()
        self.rebuilding.start(self.link)
        await self.link.passed(20_000)

    async def spend(self, name: str, times: int = 1) -> int:
        """How many pings of this order are allowed; what they take is noted at the instant at which they are."""
        allowed = 0
        for _ in range(times):
            with suppress(CountersUnavailable):
                if await self.allowances.spend([ORDERS[name]]) == [None]:
                    self._stage.note(ORDERS[name])
                    allowed += 1
        return allowed

    def in_hand(self, key: str) -> int:
        return sum(block.left for (_, of), block in self.allowances._blocks.items() if of == key)

    async def die(self) -> None:
        """As it stands: nothing that it still owes is written, nobody is told."""
        await self.link.close()  # before: a lease that is made is one that was written
        self.ledger.cut = True
        task = self.rebuilding._task
        assert task is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.allowances.close()
        await self.writer.close()
        if self.book._retry is not None:
            self.book._retry.cancel()


class Stage:
    """The stores and the clock, the workers, and what was spent of each window."""

    def __init__(self, ledger_url: str, valkey: OwnValkey) -> None:
        self.engine = open_engine(ledger_url, pool_size=12)
        self.reader = Reader(self.engine)
        self.valkey = valkey
        self.clock = MovedClock(NOON_MS)
        self.spent: Counter[tuple[str, int]] = Counter()
        self.workers: list[Worker] = []
        self._names = 0

    async def hire(self) -> Worker:
        """One more worker."""
        self._names += 1
        worker = Worker(self, f"w{self._names}")
        self.workers.append(worker)
        await worker.open()
        return worker

    def note(self, order: Order) -> None:
        now_ms = self.clock.now_ms()
        for rule in order.ping_caps:
            window = rule.key, rule.window(now_ms).start_ms
            self.spent[window] += 1
            assert self.spent[window] <= rule.limit, f"{window} has more pings than its cap"

    async def lose(self, how: str) -> None:
        """The counters lose everything."""
        if how == "flushed":
            await self.valkey.tell("FLUSHALL")
            return
        self.valkey.kill()
        self.valkey.empty()
        await asyncio.to_thread(self.valkey.start)

    async def good_again(self) -> None:
        """Somebody has rebuilt what was lost, and everybody knows."""

        async def rebuilt() -> bool:
            return bool(await self.valkey.tell("EXISTS", HOUSE))

        await until(rebuilt, 20)
        await until(
            lambda: all(each.link.up and not each.rebuilding._wanted.is_set() for each in self.workers), 20
        )

    async def quiet(self) -> None:
        """What was on its way has come to its end."""
        for worker in self.workers:
            await asyncio.gather(*worker.allowances._aside)
            await worker.book.flush()

    async def close(self) -> None:
        for worker in self.workers:
            await worker.die()
        await self.reader.close()
        self.engine.dispose()


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[OwnValkey]:
    server = OwnValkey(tmp_path / "counters")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def stage(
    ledger_url: str, own_valkey: OwnValkey, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stage]:
    """Who dies while he rebuilds is in the others' way for a tenth of the time that it is in production."""
    monkeypatch.setattr(rebuilding, "MARK_MS", 600)
    monkeypatch.setattr(allowances, "WRITE_MS", 20_000)  # a busy machine is no ledger that is away
    made = Stage(ledger_url, own_valkey)
    yield made
    await made.close()


async def compared(stage: Stage, *, repair: bool = False) -> list[str]:
    link = Link(stage.valkey.url, scripts.ALL, bound_ms=5_000)
    await link.open()
    reconciling = Reconciling(stage.reader, Counters(link), stage.clock.now_ms(), repair=repair)
    outcome = await reconciling.run(MARKET)
    await link.close()
    return [each.cap for each in outcome.differences]


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 20))]
)
async def test_no_window_ever_passes_its_cap(stage: Stage, seed: int) -> None:
    """Asks all the time, beside everything that can happen to the workers and to the counters."""
    rng = Random(seed)
    for _ in range(2):
        await stage.hire()
    running: set[asyncio.Task[int]] = set()
    happenings = [
        "flushed",
        "flushed",
        "emptied",
        "death",
        "death",
        "repair",
        "hour",
        "seconds",
        "seconds",
    ] * 2
    rng.shuffle(happenings)
    for what in happenings:
        for _ in range(6):
            asking = rng.choice(stage.workers).spend(rng.choice("xyzw"), rng.randrange(1, 25))
            running.add(asyncio.create_task(asking))
        await asyncio.sleep(rng.random() * 0.01)
        if what in ("flushed", "emptied"):
            await stage.lose(what)
            if rng.random() < 0.7:
                await stage.good_again()
        elif what == "death":
            await stage.workers.pop(rng.randrange(len(stage.workers))).die()
            await stage.hire()
        elif what == "repair":
            with suppress(CountersUnavailable):
                await compared(stage, repair=True)
        else:
            stage.clock.move(HOUR - 3_000 if what == "hour" else rng.randrange(1, 40_000))
    await asyncio.gather(*running)
    await stage.good_again()
    for _ in range(8):  # minutes
        stage.clock.move(60_000)
        for worker in stage.workers:
            await asyncio.gather(*(worker.spend(name, 200) for name in "xyzw"))
    stage.clock.move(60_000)
    for worker in stage.workers:
        assert [await worker.spend(name) for name in "xyzw"] == [0, 0, 0, 0], "each has met a cap"


@pytest.mark.parametrize("how", ["flushed", "emptied"])
async def test_when_it_was_quiet_only_what_a_dead_worker_had_in_hand_is_lost(stage: Stage, how: str) -> None:
    """Two workers, one of which dies with the counters: the other spends all the rest of each window, to the last."""
    staying, dying = await stage.hire(), await stage.hire()
    for name in "xw":
        assert await staying.spend(name, 40) == 40
    stage.clock.move(60_000)
    for name in "xw":
        assert await dying.spend(name, 30) == 30
    await stage.quiet()
    in_hand = {key: dying.in_hand(key) for key in ("o:x:pings:hour", "o:w:pings:day", "b:pings:day")}
    assert all(in_hand.values())
    stage.workers.remove(dying)
    rebuilds = staying.rebuilding.rebuilds
    await asyncio.gather(dying.die(), stage.lose(how))
    await until(lambda: staying.rebuilding.rebuilds > rebuilds)
    await stage.good_again()
    assert await compared(stage) == []
    assert await staying.spend("x", 100) == 0, "this minute's are used up"
    for _ in range(2):
        stage.clock.move(60_000)
    others = await stage.hire()
    for _ in range(20):
        for worker in (staying, others, staying, others):
            await worker.spend("x", 60)
            await worker.spend("w", 100)
        stage.clock.move(60_000)
    assert stage.spent["o:x:pings:hour", NOON_MS] == 300 - in_hand["o:x:pings:hour"]
    assert stage.spent["o:w:pings:day", NOON_MS - 12 * HOUR] == 700 - in_hand["o:w:pings:day"]


async def test_what_was_leased_while_the_ledger_was_away_is_counted_by_its_worker(stage: Stage) -> None:
    """Pings go on; the counters are lost before the ledger is back, and the worker lives: no cap is passed."""
    worker = await stage.hire()
    assert await worker.spend("w", 10) == 10
    await stage.quiet()
    worker.ledger.cut = True
    assert await worker.spend("w", 300) == 300
    assert worker.book.unwritten >= 4
    assert worker.book.pings_unwritten >= 250
    await stage.lose("flushed")
    assert await worker.spend("w", 300) < 60, "those that it has in hand, and then none"
    worker.ledger.cut = False
    await stage.good_again()
    assert worker.book.pings_unwritten == 0
    while await worker.spend("w", 100):
        pass
    assert stage.spent["o:w:pings:day", NOON_MS - 12 * HOUR] == 700


async def test_what_another_worker_leased_while_the_ledger_was_away_is_waited_for(stage: Stage) -> None:
    """Who rebuilds saw that the ledger was away: the others have the time to write what they owe."""
    rebuilder, other = await stage.hire(), await stage.hire()
    assert await rebuilder.spend("w", 10) == 10
    await stage.quiet()
    for worker in stage.workers:
        worker.ledger.cut = True
    assert await other.spend("w", 300) == 300
    keeper = other.rebuilding._task
    assert keeper is not None
    keeper.cancel()  # it writes in its own time, and rebuilds nothing
    await stage.lose("flushed")
    await until(lambda: rebuilder.rebuilding._ledger_away)
    rebuilds = rebuilder.rebuilding.rebuilds
    for worker in stage.workers:
        worker.ledger.cut = False
    await until(lambda: rebuilder.rebuilding.rebuilds > rebuilds)
    await until(lambda: rebuilder.link.up)
    while await rebuilder.spend("w", 100):
        pass
    assert stage.spent["o:w:pings:day", NOON_MS - 12 * HOUR] >= 600
    await other.spend("w", 100)


async def test_a_frozen_worker_spends_what_it_had_and_no_more(stage: Stage) -> None:
    """Its blocks are in the ledger's sum: nobody else gets them."""
    frozen, other = await stage.hire(), await stage.hire()
    assert await frozen.spend("w", 20) == 20
    await stage.quiet()
    await stage.lose("flushed")
    await stage.good_again()
    in_hand = frozen.in_hand("o:w:pings:day")
    assert in_hand > 0
    day = "o:w:pings:day", NOON_MS - 12 * HOUR
    async with asyncio.timeout(20):
        # it may hear of the loss only now, and is refused for a moment
        while stage.spent[day] < 700 - in_hand:
            await other.spend("w", 100)
    assert await other.spend("w", 100) == 0
    assert await frozen.spend("w", 200) == in_hand
    assert stage.spent[day] == 700
