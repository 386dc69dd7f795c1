"""The ledger stopped, frozen, cut off, full: pings go on, posts are refused before anything is offered, nothing hangs
past its bound, and it comes back by itself. SQLite locked: `tests/api/test_stores_away.py`."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import psycopg
import pytest

from auction import exchange
from auction.ledger.engine import open_engine
from auction.ledger.migrations import upgrade
from auction.ledger.reader import Reader
from auction.ledger.writer import Writer
from tests.faults.breaking import eventually
from tests.faults.killer import Own
from tests.faults.postgres import OwnPostgres
from tests.faults.proxy import (
    Fault,
    Garbage,
    HalfClose,
    NeverAnswer,
    Partition,
    Proxy,
    Refuse,
    Reset,
    proxied,
)
from tests.house import PERSON, PING, House, catalogue, open_house
from tests.servers import Client, client_of, running_buyers, running_server
from tests.stores import EMPTIES

ORDERS = [{"id": "a", "buyer": "ann"}]
BOUND_S = 4.5
"""The longest that a post waits for a ledger that says nothing: a write gives up after 1 s here, looked at every
quarter, and a read after 1.25. Some more, for a busy machine; production's own bounds are longer than that."""


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[OwnPostgres]:
    """A server that these tests may kill and freeze."""
    server = OwnPostgres()
    server.start()
    engine = open_engine(server.url())
    upgrade(engine)
    engine.dispose()
    yield server
    server.remove()


@pytest.fixture
async def struck(
    tmp_path: Path, emptied_valkey: str, own_postgres: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[House, Proxy]]:
    """A house on this server, through a proxy; whatever befell it is over at the end. Its bounds are a quarter of
    production's."""
    monkeypatch.setattr(exchange, "Writer", partial(Writer, stall_s=1.0))
    monkeypatch.setattr(exchange, "Reader", partial(Reader, timeout_s=1.25))
    async with proxied(own_postgres.socket) as link:
        async with open_house(tmp_path, emptied_valkey, own_postgres.url(link.port), ORDERS) as house:
            yield house, link
            await link.heal()
            assert house.app.bugs == 0
        with psycopg.connect(own_postgres.url(), autocommit=True) as conn:
            conn.execute(EMPTIES.encode())


async def posts_are_refused_and_pings_go_on(house: House, tag: str, times: int = 3) -> bytes:
    """Each post within its bound, and each ping as quickly as ever: the post that was refused."""
    post = b""
    for number in range(times):
        began_s = perf_counter()
        offer = await house.ping(sub_id=f"{tag}-{number}")
        assert perf_counter() - began_s < BOUND_S
        post = msgspec.json.encode({"ping_id": offer["ping_id"], "lead": PERSON})
        began_s = perf_counter()
        status, answer = await house.post("/post", post)
        assert (status, answer["code"]) == (503, "ledger_unavailable"), answer
        assert perf_counter() - began_s < BOUND_S
    assert await house.seen("ann", "post") == [], "nothing was offered"
    assert (await house.get("/healthz"))[0] == 200
    return post


async def sold_now(house: House | Client, post: Any, before: int = 0) -> None:
    """The post that was refused is taken by and by: one offer, one sale, whatever was half done before."""
    told: list[tuple[int, dict[str, Any]]] = []

    async def taken() -> bool:
        told.append(await house.post("/post", post))
        assert told[-1][0] in (200, 409, 503), told
        return told[-1][0] == 200

    await eventually(taken, within_s=20)
    assert told[-1][1]["status"] == "sold"
    assert await house.post("/post", post) == told[-1]
    assert len(await house.seen("ann", "post")) == before + 1


async def test_a_postgres_that_was_stopped(struck: tuple[House, Proxy], own_postgres: OwnPostgres) -> None:
    house, _ = struck
    offer = await house.ping(sub_id="before")
    assert (await house.sell(offer["ping_id"]))["status"] == "sold"
    seen = len(await house.seen("ann", "post"))
    own_postgres.kill()
    try:
        offer = await house.ping(sub_id="away")
        post = msgspec.json.encode({"ping_id": offer["ping_id"], "lead": PERSON})
        for _ in range(3):
            began_s = perf_counter()
            status, answer = await house.post("/post", post)
            assert (status, answer["code"]) == (503, "ledger_unavailable")
            assert perf_counter() - began_s < BOUND_S
            assert (await house.ping(sub_id=f"away-{began_s}"))["status"] == "offer"
    finally:
        await asyncio.to_thread(own_postgres.start)
    assert len(await house.seen("ann", "post")) == seen
    await sold_now(house, post, before=seen)


async def test_a_postgres_that_stands_still(struck: tuple[House, Proxy], own_postgres: OwnPostgres) -> None:
    house, _ = struck
    own = Own()
    assert own_postgres.pid is not None
    await house.ping(sub_id="warm")
    async with own.frozen(own.below(own_postgres.pid)):
        post = await posts_are_refused_and_pings_go_on(house, "frozen", times=2)
    await sold_now(house, post)


@pytest.mark.parametrize(
    "fault", [Refuse(), Reset(), NeverAnswer(), HalfClose(), Garbage()], ids=lambda one: type(one).__name__
)
async def test_a_way_to_the_database_that_breaks(struck: tuple[House, Proxy], fault: Fault) -> None:
    house, link = struck
    await house.ping(sub_id="warm")
    await link.put(fault, *(("down",) if isinstance(fault, Garbage) else ()))
    link.reset_all()
    post = await posts_are_refused_and_pings_go_on(house, "broken", times=2)
    await link.heal()
    link.reset_all()
    await sold_now(house, post)


@pytest.mark.parametrize("ways", [(), ("up",), ("down",)], ids=["both", "up", "down"])
async def test_a_partition_between_us_and_the_database(struck: tuple[House, Proxy], ways: Any) -> None:
    house, link = struck
    await house.ping(sub_id="warm")
    await link.put(Partition(), *ways)
    post = await posts_are_refused_and_pings_go_on(house, "cut-off", times=1)
    await link.heal()
    await sold_now(house, post)


async def test_a_postgres_whose_disk_is_full(struck: tuple[House, Proxy], own_postgres: OwnPostgres) -> None:
    """As the server says it: a trigger says so in its place, for a full disk would be the whole machine's."""
    house, _ = struck
    full = """
        CREATE FUNCTION is_full() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'could not extend file "base/5/16384": No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER is_full BEFORE INSERT ON leads FOR EACH ROW EXECUTE FUNCTION is_full();
    """
    with psycopg.connect(own_postgres.url(), autocommit=True) as conn:
        conn.execute(full)
        try:
            post = await posts_are_refused_and_pings_go_on(house, "full")
        finally:
            conn.execute("DROP TRIGGER is_full ON leads; DROP FUNCTION is_full")
    await sold_now(house, post)


async def test_a_sqlite_whose_disk_is_full(tmp_path: Path) -> None:
    """A process that may write no further into any file: as on a full disk, logs and all."""
    with (
        running_buyers(tmp_path, {"ann": {}}) as mock_url,
        running_server(tmp_path, mock_url, lambda url: catalogue(ORDERS, mock_url=url)) as served,
    ):
        async with client_of(served) as client:
            _, offer = await client.post("/ping", PING)
            pid = served.process.pid
            before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
            try:
                post = {"ping_id": offer["ping_id"], "lead": PERSON}
                for number in range(3):
                    status, answer = await client.post("/post", post)
                    assert (status, answer["code"]) == (503, "ledger_unavailable"), answer
                    status, answer = await client.post("/ping", {**PING, "sub_id": f"full-{number}"})
                    assert (status, answer["status"]) == (200, "offer"), answer
                assert await client.seen("ann", "post") == []
            finally:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
            await sold_now(client, post)
