"""Keys of changes in the ledger: one owner at a time, an answer once, and a bound for each caller."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine

from auction.ledger.engine import open_engine, transaction
from auction.ledger.request_keys import KEPT_MS, State, begin_key, drop_old_keys, end_key
from auction.request_keys import Begun, Ended, KeyUse, OfAnother, TooMany, UnderWay


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    opened = open_engine(ledger_url)
    yield opened
    opened.dispose()


def use(owner: str = "one", *, name: bytes = b"n", said: bytes = b"p") -> KeyUse:
    return KeyUse(caller="admin:ops", name=name, print_of=said, owner=owner)


def test_a_key_is_begun_ended_and_told(engine: Engine) -> None:
    with transaction(engine) as conn:
        assert begin_key(conn, use(), 0, 100) == Begun()
        assert begin_key(conn, use("two"), 99, 100) == UnderWay()
        assert begin_key(conn, use("two", said=b"q"), 99, 100) == OfAnother()
        assert not end_key(conn, use("two"), 99, b"theirs")
        assert end_key(conn, use(), 99, b"answer")
        assert not end_key(conn, use(), 99, b"twice")
        assert begin_key(conn, use("two"), 99 + KEPT_MS - 1, 100) == Ended(b"answer")
        assert begin_key(conn, use("two"), 99 + KEPT_MS, 100) == Begun()


def test_who_sleeps_past_the_lease_has_lost_the_key(engine: Engine) -> None:
    with transaction(engine) as conn:
        assert begin_key(conn, use(), 0, 100) == Begun()
        assert begin_key(conn, use("two", said=b"q"), 100, 100) == Begun()
        assert not end_key(conn, use(), 101, b"late")
        assert not end_key(conn, use(), 101, None)
        assert end_key(conn, use("two"), 101, None)
        assert begin_key(conn, use("three"), 101, 100) == Begun()


def test_a_caller_has_so_many_keys(engine: Engine) -> None:
    with transaction(engine) as conn:
        for number in range(3):
            assert begin_key(conn, use(name=b"%d" % number), number, 100, 3) == Begun()
        assert begin_key(conn, use(name=b"x"), 3, 100, 3) == TooMany(100)
        assert begin_key(conn, use(name=b"x"), 100, 100, 3) == Begun()
        assert (drop_old_keys(conn, 102, 2), drop_old_keys(conn, 102, 2)) == (2, 1)


def test_of_many_at_once_one_begins(engine: Engine) -> None:
    together = Barrier(4)

    def begin(number: int) -> State:
        together.wait()
        with transaction(engine) as conn:
            return begin_key(conn, use(str(number)), 0, 100)

    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(begin, range(4)))
    assert sorted(type(state).__name__ for state in states) == ["Begun", "UnderWay", "UnderWay", "UnderWay"]
