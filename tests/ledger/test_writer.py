"""Group commit: durable when it resolves, a bad write alone, bounds everywhere, a log that costs no post."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, exc, select, text

from auction.errors import HouseError
from auction.ledger.engine import is_postgresql, open_engine, transaction, writing
from auction.ledger.schema import catalogue_versions, pings
from auction.ledger.writer import Writer
from tests.ledger.rows import a_ping
from tests.stores import PostgresServer, name_of


def insert(number: int, conn: Connection) -> int:
    conn.execute(text("INSERT INTO catalogue_versions VALUES (:n, 0, '')"), {"n": number})
    return number


class Gate:
    """An op that keeps the writer's thread until it is opened, and tells when the thread is in it."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._opened = threading.Event()

    def hold(self, _: Connection) -> bool:
        self._loop.call_soon_threadsafe(self.entered.set)
        return self._opened.wait(30)

    def open(self) -> None:
        self._opened.set()


def numbers(engine: Engine) -> list[int]:
    with engine.connect() as conn:
        return list(conn.execute(select(catalogue_versions.c.version).order_by("version")).scalars())


def ping_ids(engine: Engine) -> set[str]:
    with engine.connect() as conn:
        return set(conn.execute(select(pings.c.ping_id)).scalars())


async def test_what_resolved_is_committed(engine: Engine, writer: Writer) -> None:
    assert await writer.write(partial(insert, 7)) == 7
    assert numbers(engine) == [7]


async def test_writes_that_come_together_share_commits(engine: Engine, writer: Writer) -> None:
    done = await asyncio.gather(*[writer.write(partial(insert, number)) for number in range(1, 301)])
    assert done == list(range(1, 301)) == numbers(engine)
    assert writer.writes == 300
    assert writer.commits <= 30


@pytest.mark.parametrize("poisoned", [[0], [17], [39], [3, 4, 30]])
async def test_a_poisoned_write_fails_alone(engine: Engine, writer: Writer, poisoned: list[int]) -> None:
    """Whatever stands in the batch around it, and each with its own exception."""
    gate = Gate()
    held = writer.write(gate.hold)  # all others gather behind this one
    numbered = [-1 if at in poisoned else at + 1 for at in range(40)]
    await gate.entered.wait()
    futures = [writer.write(_fails if number < 0 else partial(insert, number)) for number in numbered]
    gate.open()
    done = await asyncio.gather(*futures, return_exceptions=True)
    await held
    assert [isinstance(one, ZeroDivisionError) for one in done] == [number < 0 for number in numbered]
    assert numbers(engine) == [number for number in numbered if number > 0]


async def test_an_integrity_error_reaches_its_caller_only(engine: Engine, writer: Writer) -> None:
    twice = [writer.write(partial(insert, number)) for number in (1, 2, 1, 3)]
    done = await asyncio.gather(*twice, return_exceptions=True)
    assert [isinstance(one, exc.IntegrityError) for one in done].count(True) == 1
    assert numbers(engine) == [1, 2, 3]


async def test_cancelled_futures_break_nothing(engine: Engine, writer: Writer) -> None:
    futures = [writer.write(partial(insert, number)) for number in (1, 2, 3)]
    futures[1].cancel()
    assert await futures[0] == 1
    assert await futures[2] == 3
    assert await writer.write(partial(insert, 4)) == 4
    assert numbers(engine) == [1, 2, 3, 4]


async def test_the_queue_is_bounded(engine: Engine) -> None:
    writer = Writer(engine, max_queue=3)
    gate = Gate()
    held = writer.write(gate.hold)
    await gate.entered.wait()
    futures = [writer.write(partial(insert, number)) for number in (1, 2, 3)]
    with pytest.raises(HouseError) as caught:
        writer.write(partial(insert, 4))
    assert caught.value.code == "ledger_full"
    assert writer.writes_refused == 1
    gate.open()
    await asyncio.gather(held, *futures)
    await writer.close()
    assert numbers(engine) == [1, 2, 3]


async def test_a_locked_sqlite_is_told_in_time_and_survived(sqlite_ledger: str) -> None:
    engine = open_engine(sqlite_ledger, busy_ms=200)
    writer = Writer(engine)
    with transaction(engine):
        started = time.monotonic()
        done = await asyncio.gather(
            *[writer.write(partial(insert, number)) for number in range(50)], return_exceptions=True
        )
        assert time.monotonic() - started < 5
    assert {one.code for one in done if isinstance(one, HouseError)} == {"ledger_unavailable"}
    assert writer.writes_away == 50
    assert await writer.write(partial(insert, 1)) == 1
    await writer.close()
    engine.dispose()


async def test_a_full_disk_is_told_and_survived(sqlite_ledger: str) -> None:
    engine = open_engine(sqlite_ledger)
    writer = Writer(engine)

    def too_much(conn: Connection) -> None:
        before = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {before}")
        try:
            conn.execute(text("INSERT INTO catalogue_versions VALUES (1, 0, :note)"), {"note": "x" * 500_000})
        finally:
            conn.exec_driver_sql("PRAGMA max_page_count = 1000000")

    with pytest.raises(HouseError) as caught:
        await writer.write(too_much)
    assert caught.value.code == "ledger_unavailable"
    assert await writer.write(partial(insert, 2)) == 2
    await writer.close()
    engine.dispose()


async def test_a_database_that_hangs_is_given_up_on(engine: Engine) -> None:
    """Neither answer nor error: the writes are told, and the thread is at work again when it comes back."""
    writer = Writer(engine, stall_s=0.2)
    gate = Gate()
    stuck = writer.write(lambda conn: (gate.hold(conn), insert(1, conn)))
    await gate.entered.wait()
    behind = writer.write(partial(insert, 2))
    for future in (stuck, behind):
        with pytest.raises(HouseError) as caught:
            await future
        assert caught.value.code == "ledger_unavailable"
    gate.open()
    writer._stall_s = 20.0  # a fifth of a second is soon over on a busy machine, and now it is to answer
    assert await writer.write(partial(insert, 3)) == 3
    assert numbers(engine) == [1, 3]  # 1 was not known, and is there; 2 never left the queue
    await writer.close()


async def test_a_server_that_comes_back_is_used_again(postgres: PostgresServer, postgres_ledger: str) -> None:
    engine = open_engine(postgres_ledger)
    writer = Writer(engine)
    await writer.write(partial(insert, 1))
    postgres.execute(f"ALTER DATABASE {name_of(postgres_ledger)} ALLOW_CONNECTIONS false")
    postgres.disconnect_all(postgres_ledger)
    with pytest.raises(HouseError) as caught:
        await writer.write(partial(insert, 2))
    assert caught.value.code == "ledger_unavailable"
    assert writer.log_ping(a_ping())
    await eventually(lambda: writer.pings_dropped == 1)
    postgres.execute(f"ALTER DATABASE {name_of(postgres_ledger)} ALLOW_CONNECTIONS true")
    assert await writer.write(partial(insert, 3)) == 3
    await writer.close()
    engine.dispose()


async def test_deadlocks_are_run_again(postgres_ledger: str) -> None:
    """Two transactions lock the same two rows the other way round: PostgreSQL ends one, we run it again."""
    engine = open_engine(postgres_ledger)
    writer = Writer(engine)
    await asyncio.gather(writer.write(partial(insert, 1)), writer.write(partial(insert, 2)))
    first_locked, other_locked, runs = threading.Event(), threading.Event(), []

    def lock(conn: Connection, version: int) -> None:
        conn.execute(text("UPDATE catalogue_versions SET note = 'locked' WHERE version = :v"), {"v": version})

    def other() -> None:
        with transaction(engine) as conn:
            conn.exec_driver_sql("SET LOCAL deadlock_timeout = '60s'")  # so that ours is the one that ends
            lock(conn, 2)
            other_locked.set()
            first_locked.wait(30)
            lock(conn, 1)

    def ours(conn: Connection) -> str:
        runs.append(1)
        other_locked.wait(30)
        lock(conn, 1)
        first_locked.set()
        lock(conn, 2)
        return "done"

    thread = threading.Thread(target=other)
    thread.start()
    assert await writer.write(ours) == "done"
    thread.join(30)
    assert len(runs) > 1
    await writer.close()
    engine.dispose()


async def test_pings_are_logged_by_age(engine: Engine, writer: Writer) -> None:
    assert all(writer.log_ping(a_ping(f"ping-{number}")) for number in range(10))
    await eventually(lambda: writer.pings_logged == 10)  # counted once they are durable
    assert len(ping_ids(engine)) == 10


async def test_pings_are_logged_in_few_commits(engine: Engine) -> None:
    writer = Writer(engine, ping_batch=100)
    for number in range(1_000):
        writer.log_ping(a_ping(f"ping-{number}"))
    await writer.flush()
    assert len(ping_ids(engine)) == 1_000
    assert writer.commits <= 15
    await writer.close()


async def test_flush_waits_for_every_ping(engine: Engine, writer: Writer) -> None:
    """Also when it is asked while the thread is in the middle of writing others."""
    with transaction(engine) as conn:
        if is_postgresql(conn):
            conn.exec_driver_sql("LOCK TABLE pings IN EXCLUSIVE MODE")
        writer.log_ping(a_ping("ping-1"))
        await eventually(lambda: writer.pings_waiting == 0)  # the thread has it, and waits for our lock
        writer.log_ping(a_ping("ping-2"))
        flushing = asyncio.create_task(writer.flush())
        await asyncio.sleep(0)
    await flushing
    assert ping_ids(engine) == {"ping-1", "ping-2"}


async def test_an_overflow_of_the_log_is_counted(engine: Engine) -> None:
    writer = Writer(engine, max_pings=100)
    gate = Gate()
    held = writer.write(gate.hold)
    await gate.entered.wait()
    taken = [writer.log_ping(a_ping(f"ping-{number}")) for number in range(130)]
    assert taken == [True] * 100 + [False] * 30
    assert writer.pings_dropped == 30
    gate.open()
    await held
    await writer.close()
    assert ping_ids(engine) == {f"ping-{number}" for number in range(100)}


async def test_a_ping_that_cannot_be_written_takes_nobody_along(engine: Engine, writer: Writer) -> None:
    rows = [a_ping(f"ping-{number}") for number in range(20)]
    rows[7] = a_ping("ping-7", detail=object())  # what msgpack cannot say
    rows[9] = a_ping("ping-9", status="perhaps")  # what the schema refuses
    for row in rows:
        assert writer.log_ping(row)
    write = writer.write(partial(insert, 1))
    await writer.flush()
    assert await write == 1
    assert writer.pings_dropped == 2
    assert ping_ids(engine) == {f"ping-{number}" for number in range(20)} - {"ping-7", "ping-9"}


async def test_close_writes_what_waits(engine: Engine) -> None:
    writer = Writer(engine)
    futures = [writer.write(partial(insert, number)) for number in range(1, 101)]
    writer.log_ping(a_ping())
    await writer.close()
    assert [future.result() for future in futures] == numbers(engine)
    assert ping_ids(engine) == {"ping-1"}
    assert not writer.log_ping(a_ping("ping-2"))
    with pytest.raises(HouseError):
        writer.write(partial(insert, 200))


async def test_close_has_a_bound(engine: Engine) -> None:
    writer = Writer(engine)
    gate = Gate()
    stuck = writer.write(gate.hold)
    await gate.entered.wait()
    behind = writer.write(partial(insert, 1))
    writer.log_ping(a_ping())
    await writer.close(timeout_s=0.1)
    for future in (stuck, behind):
        assert isinstance(future.exception(), HouseError)
    assert writer.pings_dropped == 1
    gate.open()
    await writer.close()


async def test_two_writers_on_one_database(engine: Engine, ledger_url: str) -> None:
    other_engine = open_engine(ledger_url)
    writers = [Writer(engine), Writer(other_engine)]
    await asyncio.gather(
        *[writers[number % 2].write(partial(insert, number)) for number in range(400)],
    )
    assert numbers(engine) == list(range(400))
    for writer in writers:
        await writer.close()
    other_engine.dispose()


def test_writing_engines_begin_immediately(tmp_path: Path) -> None:
    """The lock is there before the first statement; a transaction that only reads leaves it alone."""
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db", busy_ms=50)
    with writing(engine).begin():
        other = sqlite3.connect(tmp_path / "ledger.db", timeout=0.05, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    engine.dispose()


def _fails(_: Connection) -> None:
    raise ZeroDivisionError


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 (the thread tells nobody what it logs)
            await asyncio.sleep(0.01)
