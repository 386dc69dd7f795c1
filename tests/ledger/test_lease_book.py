"""A worker's book of leases: written before anybody leases, in few commits; and pings go on while it cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import perf_counter
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from auction.clock import MovedClock
from auction.errors import HouseError
from auction.ledger import lease_book
from auction.ledger.faults import away, full
from auction.ledger.lease_book import LeaseBookOfWorker
from auction.ledger.ping_leases import leased_pings
from auction.ledger.writer import Writer
from auction.ping_leases import PingLease
from tests.ledger.rows import AT_MS

LONG_MS = 20_000


def lease(pings: int, cap: str = "o:a:pings:hour", *, start_ms: int = AT_MS) -> PingLease:
    return PingLease("ann", cap, start_ms, start_ms + 3_600_000, pings)


def written(engine: Engine) -> dict[str, int]:
    with engine.connect() as conn:
        return {each.cap_key: each.pings for each in leased_pings(conn, ["ann"], 0)}


class HeldWriter:
    """A ledger whose writes end when and as the test says; then they are done as the real one does them."""

    def __init__(self) -> None:
        self.ops: list[tuple[Any, asyncio.Future[None]]] = []
        self.refuses: HouseError | None = None

    def write(self, op: Callable[[Connection], Any]) -> asyncio.Future[None]:
        if self.refuses is not None:
            raise self.refuses
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ops.append((op, future))
        return future

    def pings(self, at: int = -1) -> dict[str, int]:
        """What a write says."""
        return {each.cap_key: each.pings for each in self.ops[at][0].keywords["leases"]}

    async def end(self, error: Exception | None = None) -> None:
        """The last write ends; what hears of it has heard."""
        _, future = self.ops[-1]
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def book(writer: Writer) -> AsyncIterator[LeaseBookOfWorker]:
    made = LeaseBookOfWorker(writer, MovedClock(AT_MS), "w1")
    yield made
    await made.close()


@pytest.fixture
def held() -> HeldWriter:
    return HeldWriter()


@pytest.fixture
async def of_held(held: HeldWriter, monkeypatch: pytest.MonkeyPatch) -> LeaseBookOfWorker:
    monkeypatch.setattr(lease_book, "RETRY_S", 3_600)  # it is tried again when the test says so
    writer: Any = held
    return LeaseBookOfWorker(writer, MovedClock(AT_MS), "w1")


async def test_what_is_ahead_is_durable_when_it_returns(engine: Engine, book: LeaseBookOfWorker) -> None:
    await book.ahead([lease(100), lease(7, "b:pings:day")], LONG_MS)
    assert written(engine) == {"o:a:pings:hour": 100, "b:pings:day": 7}
    await book.ahead([lease(50)], LONG_MS)
    assert written(engine)["o:a:pings:hour"] == 150
    book.back([lease(45)])
    await book.flush()
    assert written(engine)["o:a:pings:hour"] == 105
    assert (book.unwritten, book.pings_unwritten) == (0, 0)


async def test_many_at_once_are_a_few_writes(engine: Engine, writer: Writer, book: LeaseBookOfWorker) -> None:
    await asyncio.gather(*(book.ahead([lease(1), lease(2, f"cap-{at % 5}")], LONG_MS) for at in range(200)))
    assert written(engine) == {"o:a:pings:hour": 200, **{f"cap-{at}": 80 for at in range(5)}}
    assert writer.writes <= 3


async def test_two_workers_at_once_stand_in_nobodys_way(engine: Engine, writer: Writer) -> None:
    other_writer = Writer(engine)
    books = [
        LeaseBookOfWorker(one, MovedClock(AT_MS), f"w{at}") for at, one in enumerate((writer, other_writer))
    ]
    caps = [f"cap-{at}" for at in range(20)]

    async def leases(book: LeaseBookOfWorker, turned: int) -> None:
        for _ in range(20):
            await book.ahead([lease(1, cap) for cap in (caps, caps[::-1])[turned]], LONG_MS)

    await asyncio.gather(*(leases(book, at) for at, book in enumerate(books)))
    assert written(engine) == dict.fromkeys(caps, 40)
    assert [book.unwritten for book in books] == [0, 0]
    await other_writer.close()


async def test_a_ping_waits_for_a_slow_ledger_so_long_and_the_next_not_at_all(
    of_held: LeaseBookOfWorker, held: HeldWriter
) -> None:
    began_s = perf_counter()
    await asyncio.wait_for(of_held.ahead([lease(100)], 25), 10)
    assert perf_counter() - began_s > 0.02
    at_once = asyncio.create_task(of_held.ahead([lease(50), lease(1, "day")], 25))
    await asyncio.sleep(0)
    assert at_once.done()
    assert of_held.unwritten == 3
    assert held.pings() == {"o:a:pings:hour": 100}
    assert of_held.pings_unwritten == 51
    await held.end()
    assert held.pings() == {"o:a:pings:hour": 50, "day": 1}, "it is written all the same"
    await held.end()
    assert of_held.pings_unwritten == 0
    waiting = asyncio.create_task(of_held.ahead([lease(3)], LONG_MS))
    await asyncio.sleep(0)
    await held.end()
    await waiting
    assert of_held.unwritten == 3


@pytest.mark.parametrize("why", [away(), full("writes")])
async def test_while_the_ledger_is_away_nobody_waits_and_all_is_written_when_it_is_back(
    of_held: LeaseBookOfWorker, held: HeldWriter, why: HouseError
) -> None:
    if why.code == "ledger_full":
        held.refuses = why
        await of_held.ahead([lease(100)], LONG_MS)
        held.refuses = None
    else:
        waiting = asyncio.create_task(of_held.ahead([lease(100)], LONG_MS))
        await asyncio.sleep(0)
        await held.end(why)
        await waiting
    tried = len(held.ops)
    async with asyncio.timeout(LONG_MS / 1000):
        for _ in range(50):
            await of_held.ahead([lease(10)], LONG_MS)
            of_held.back([lease(4)])
    assert len(held.ops) == tried, "it is not asked all the time"
    assert (of_held.unwritten, of_held.pings_unwritten) == (51, 400)
    flushing = asyncio.create_task(of_held.flush())
    await asyncio.sleep(0)
    assert held.pings() == {"o:a:pings:hour": 400}
    await held.end()
    await flushing
    assert of_held.pings_unwritten == 0


async def test_it_is_tried_again_by_itself(
    of_held: LeaseBookOfWorker, held: HeldWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_book, "RETRY_S", 0.01)
    waiting = asyncio.create_task(of_held.ahead([lease(100)], LONG_MS))
    await asyncio.sleep(0)
    await held.end(away())
    await waiting
    async with asyncio.timeout(20):
        while len(held.ops) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert held.pings() == {"o:a:pings:hour": 100}


async def test_a_write_of_which_nobody_knows_is_added_again_and_taken_off_never_twice(
    of_held: LeaseBookOfWorker, held: HeldWriter
) -> None:
    """The sum may be too large then: it is never too small."""
    of_held.back([lease(30), lease(5, "day")])
    await held.end(away())
    assert of_held.pings_unwritten == 0
    waiting = asyncio.create_task(of_held.ahead([lease(8)], LONG_MS))
    await waiting
    flushing = asyncio.create_task(of_held.flush())
    await asyncio.sleep(0)
    assert held.pings() == {"o:a:pings:hour": 8}
    await held.end(away())
    with pytest.raises(HouseError):
        await flushing
    assert of_held.pings_unwritten == 8


async def test_what_comes_to_nothing_is_written_by_nobody_and_waited_for_by_nobody(
    of_held: LeaseBookOfWorker, held: HeldWriter
) -> None:
    """As much to be taken off as to be added: the ledger's sum is enough as it is. A window that is over needs none."""
    first = asyncio.create_task(of_held.ahead([lease(100)], LONG_MS))
    await asyncio.sleep(0)
    of_held.back([lease(100)])
    second = asyncio.create_task(of_held.ahead([lease(100)], LONG_MS))
    await asyncio.sleep(0)
    await held.end()
    await asyncio.wait_for(asyncio.gather(first, second), 15)
    await asyncio.wait_for(of_held.ahead([lease(9, start_ms=AT_MS - 7_200_000)], LONG_MS), 15)
    assert len(held.ops) == 1
    assert of_held.unwritten == 0


async def test_at_the_end_what_is_owed_is_written_if_it_can_be(
    of_held: LeaseBookOfWorker, held: HeldWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_book, "CLOSE_WITHIN_S", 0.05)
    of_held.back([lease(1)])
    of_held.back([lease(2)])
    closing = asyncio.create_task(of_held.close())
    await asyncio.sleep(0)
    await held.end()
    assert held.pings() == {"o:a:pings:hour": -2}
    await held.end()
    await closing
    of_held.back([lease(3)])
    await asyncio.wait_for(of_held.close(), 10)
