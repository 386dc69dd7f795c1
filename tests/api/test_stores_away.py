"""A store that is away costs a 503 that names it, at once: nothing hangs or is offered, and it comes back by itself."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

import msgspec
import pytest

from auction import exchange
from auction.counters.embedded import EmbeddedValkey
from auction.counters.link import Link
from auction.ledger.engine import open_engine
from tests.api.conftest import MANNERS, ORDERS
from tests.api.wired import Answer, until, wired
from tests.house import PERSON, PING, House, open_house

encode = msgspec.json.encode
DIRECT = encode({**PING, "lead": {**PING["lead"], **PERSON}})
BOUND_MS = 500
"""Ten times production's: a busy machine may keep a server that is well from answering for longer than that."""
QUICK_S = 5.0
"""Nothing hangs."""


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey that this test may stop and kill."""
    server = EmbeddedValkey(tmp_path / "counters")
    (tmp_path / "counters").mkdir()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def bounded(
    tmp_path: Path, own_valkey: EmbeddedValkey, sqlite_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A house with a bound on its counters that they can be seen to pass, and a shorter one on its ledger."""
    monkeypatch.setattr(exchange, "open_engine", partial(open_engine, busy_ms=300))
    terms = {"counters_timeout_ms": BOUND_MS}
    async with open_house(tmp_path, own_valkey.url, sqlite_ledger, ORDERS, MANNERS, settings=terms) as house:
        yield house
        assert house.app.bugs == 0


@contextmanager
def stopped(server: EmbeddedValkey) -> Iterator[None]:
    """The server is there and does nothing."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def on_disk(server: EmbeddedValkey) -> None:
    """All that was written so far is in the append-only file. (Its writes may wait for a sync of the one before.)"""
    link = Link(server.url, bound_ms=5_000)
    await link.open()
    await link.call("SET", "mark", 1)
    assert await link.call("WAITAOF", 1, 0, 4_000) == [1, 0]
    await link.call("DEL", "mark")
    await link.close()


@contextmanager
def locked(house: House) -> Iterator[None]:
    """Somebody else is writing to the ledger, and takes his time."""
    path = house.exchange.settings.ledger_url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def assert_away(answer: Answer, code: str) -> None:
    assert (answer.status, answer.code) == (503, code), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1


async def everything_says(house: House, post: bytes, code: str) -> None:
    """Every door, several times over, each within its bound."""
    async with wired(house.url) as line:
        for number in range(4):
            ping = encode({**PING, "sub_id": f"away-{number}"})
            for path, body in (("/ping", ping), ("/post", post), ("/direct", DIRECT)):
                began_s = perf_counter()
                assert_away(await line.send(path, body), code)
                assert perf_counter() - began_s < QUICK_S, path
        assert_away(await line.send("/readyz", method="GET"), "not_ready")
        assert (await line.send("/healthz", method="GET")).status == 200


async def sold_once(house: House, post: bytes) -> None:
    """The post that was refused is taken now: one offer, one sale."""

    async def taken() -> bool:
        status, answer = await house.post("/post", post)
        assert status in (200, 503), answer
        return status == 200

    await until(taken)
    assert (await house.post("/post", post))[1]["status"] == "sold"
    assert len(await house.seen("a-co", "post")) == 1


@pytest.mark.parametrize("given_up", [False, True])
async def test_counters_that_stand_still(bounded: House, own_valkey: EmbeddedValkey, given_up: bool) -> None:
    """For a moment, and for so long that the connection is given up."""
    offer = await bounded.ping()
    post = encode({"ping_id": offer["ping_id"], "lead": PERSON})
    with stopped(own_valkey):
        await everything_says(bounded, post, "counters_unavailable")
        while given_up and bounded.exchange.link.connected:
            await everything_says(bounded, post, "counters_unavailable")
    await sold_once(bounded, post)
    assert (await bounded.ping(sub_id="after"))["status"] == "offer"
    assert (await bounded.get("/readyz"))[0] == 200


async def test_counters_that_were_killed_and_come_back(bounded: House, own_valkey: EmbeddedValkey) -> None:
    """An offer that reached their file outlives them."""
    offer = await bounded.ping()
    post = encode({"ping_id": offer["ping_id"], "lead": PERSON})
    await on_disk(own_valkey)
    assert own_valkey.pid is not None
    os.kill(own_valkey.pid, signal.SIGKILL)
    await until(lambda: own_valkey.pid is None)
    await everything_says(bounded, post, "counters_unavailable")
    own_valkey.start()
    await sold_once(bounded, post)
    assert (await bounded.ping(sub_id="after"))["status"] == "offer"


async def test_counters_that_go_in_the_middle_of_an_auction(
    bounded: House, own_valkey: EmbeddedValkey
) -> None:
    await bounded.change_manner("a-co", {"bid": {"price": 30}, "latency_ms": 1_000})
    async with wired(bounded.url) as line:
        line.write(b"POST /ping HTTP/1.1\r\nhost: x\r\nx-api-key: test-key\r\ncontent-length: 42\r\n\r\n")
        line.write(encode(PING).ljust(42))
        await until(lambda: bounded.exchange.pings.running == 1)
        with stopped(own_valkey):
            assert_away(await line.answer(), "counters_unavailable")
    await until(lambda: bounded.exchange.link.up)
    assert (await bounded.ping(sub_id="after"))["status"] == "offer"


async def test_a_locked_ledger_stops_posts_and_no_ping(bounded: House) -> None:
    offer = await bounded.ping()
    post = encode({"ping_id": offer["ping_id"], "lead": PERSON})
    async with wired(bounded.url) as line:
        with locked(bounded):
            for number in range(20):
                ping = encode({**PING, "sub_id": f"locked-{number}"})
                assert (await line.send("/ping", ping)).json["status"] == "offer"
            assert_away(await line.send("/post", post), "ledger_unavailable")
            assert_away(await line.send("/direct", DIRECT), "ledger_unavailable")
            assert_away(await line.send("/post", post), "ledger_unavailable")
            assert (await line.send("/ping", encode(PING))).json == {**offer}
        assert await bounded.seen("a-co", "post") == []
        await sold_once(bounded, post)
    posts = bounded.exchange.posts
    await until(lambda: posts.book.owed.waiting == posts.claiming.owed.waiting == 0)
    path = bounded.exchange.settings.ledger_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("SELECT state FROM leads").fetchall() == [("sold",)]
        assert conn.execute("SELECT state FROM offers").fetchall() == [("accepted",)]
