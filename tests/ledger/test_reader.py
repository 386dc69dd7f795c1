"""Reads beside the writer: one moment each, bounded in number and in time."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import Connection, Engine, exc, text

from auction.errors import HouseError
from auction.ledger.engine import open_engine, transaction
from auction.ledger.reader import Reader

COUNT = text("SELECT count(*) FROM catalogue_versions")


async def test_a_read_returns_what_the_question_returns(engine: Engine) -> None:
    reader = Reader(engine)
    assert await reader.read(lambda conn: conn.execute(COUNT).scalar()) == 0
    with pytest.raises(ZeroDivisionError):
        await reader.read(lambda _: 1 // 0)
    await reader.close()


async def test_a_read_sees_one_moment(engine: Engine) -> None:
    """However many statements it makes, and whatever is committed in between."""
    reader = Reader(engine)

    def count_twice(conn: Connection) -> list[object]:
        first = conn.execute(COUNT).scalar()
        with transaction(engine) as other:
            other.execute(text("INSERT INTO catalogue_versions VALUES (1, 0, '')"))
        return [first, conn.execute(COUNT).scalar()]

    assert await reader.read(count_twice) == [0, 0]
    assert await reader.read(lambda conn: conn.execute(COUNT).scalar()) == 1
    await reader.close()


async def test_a_read_cannot_write_on_postgresql(postgres_url: str) -> None:
    engine = open_engine(postgres_url)
    reader = Reader(engine)
    with pytest.raises((exc.DBAPIError, HouseError)):
        await reader.read(lambda conn: conn.execute(text("CREATE TABLE t (a INTEGER)")))
    await reader.close()
    engine.dispose()


async def test_waiters_are_bounded(engine: Engine) -> None:
    reader = Reader(engine, threads=1, max_waiting=2)
    gate = threading.Event()
    waiting = [asyncio.ensure_future(reader.read(lambda _: gate.wait(30))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(HouseError) as caught:
        await reader.read(lambda _: None)
    assert caught.value.code == "ledger_full"
    assert reader.reads_refused == 1
    gate.set()
    assert await asyncio.gather(*waiting) == [True, True]
    await reader.read(lambda _: None)
    await reader.close()


async def test_a_read_that_takes_too_long_is_left(engine: Engine) -> None:
    reader = Reader(engine, threads=2, timeout_s=0.1)
    gate, left = threading.Event(), threading.Event()

    def slow(_: Connection) -> None:
        gate.wait(30)
        left.set()

    with pytest.raises(HouseError) as caught:
        await reader.read(slow)
    assert caught.value.code == "ledger_unavailable"
    assert reader.reads_away == 1
    reader._timeout_s = 20.0  # a tenth of a second is soon over on a busy machine, and now it is to answer
    assert await reader.read(lambda conn: conn.execute(COUNT).scalar()) == 0
    gate.set()
    assert await asyncio.to_thread(left.wait, 10)
    await asyncio.to_thread(reader._pool.shutdown)


async def test_a_database_that_is_away(tmp_path: object) -> None:
    for url in (f"sqlite:///{tmp_path}/none/ledger.db", f"postgresql://nobody@/none?host={tmp_path}"):
        engine = open_engine(url)
        reader = Reader(engine)
        with pytest.raises(HouseError) as caught:
            await reader.read(lambda conn: conn.execute(COUNT).scalar())
        assert caught.value.code == "ledger_unavailable"
        await reader.close()
        engine.dispose()
