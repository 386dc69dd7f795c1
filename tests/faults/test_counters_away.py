"""Counters that are there and cannot serve: every door says why within its bound, and all comes back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from auction import log
from auction.errors import OperatorError
from auction.exchange import Exchange
from auction.reconcile.reconciling import Reconciling
from auction.settings import Settings
from tests.api.wired import until
from tests.house import PERSON, PING, House, open_house
from tests.valkeys import running_valkey, tell

ORDERS: list[dict[str, Any]] = [{"id": "a", "buyer": "a-co", "caps": [{"leads": 100, "per": "day"}]}]
MANNERS = {"a-co": {"bid": {"price": 30}}}
BOUND_MS = 500
"""Ten times production's: a busy machine may keep a server that is well from answering for longer than that."""
QUICK_S = 5.0


@asynccontextmanager
async def opened(folder: Path, redis_url: str, ledger_url: str) -> AsyncIterator[House]:
    """A house with a bound on its counters that they can be seen to pass."""
    terms = {"counters_timeout_ms": BOUND_MS}
    async with open_house(folder, redis_url, ledger_url, ORDERS, MANNERS, settings=terms) as house:
        yield house
        assert house.app.bugs == 0


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with running_valkey(tmp_path / "own", "--appendonly", "no") as url:
        yield url


@pytest.fixture
async def house(tmp_path: Path, redis_url: str, sqlite_ledger: str) -> AsyncIterator[House]:
    async with opened(tmp_path, redis_url, sqlite_ledger) as house:
        yield house


async def refused(house: House, ping_id: str, codes: set[str]) -> None:
    """Both doors, and the readiness, each within its bound."""
    for number in range(3):
        ping = {**PING, "sub_id": f"refused-{number}"}
        for path, body in (("/ping", ping), ("/post", {"ping_id": ping_id, "lead": PERSON})):
            began_s = perf_counter()
            status, answer = await house.post(path, body)
            assert (status, answer["code"] in codes) == (503, True), answer
            assert perf_counter() - began_s < QUICK_S
    status, answer = await house.get("/readyz")
    assert (status, answer["code"]) == (503, "not_ready")
    assert "counters" in answer["detail"]
    assert (await house.get("/healthz"))[0] == 200


async def comes_back(house: House, ping_id: str) -> None:
    """What was refused is taken, once; and the counters are right."""

    async def sold() -> bool:
        status, answer = await house.post("/post", {"ping_id": ping_id, "lead": PERSON})
        assert status in (200, 503), answer
        return status == 200

    await until(sold)
    assert len(await house.seen("a-co", "post")) == 1
    assert (await house.ping(sub_id="after"))["status"] == "offer"
    assert (await house.get("/readyz"))[0] == 200
    exchange = house.exchange
    reconciling = Reconciling(exchange.reader, exchange.counters, house.clock.now_ms(), repair=False)
    assert (await reconciling.run(exchange.floor.market)).differences == []


async def test_a_memory_that_is_full(house: House, redis_url: str) -> None:
    offer = await house.ping()
    await tell(redis_url, "CONFIG", "SET", "maxmemory", "1")
    await refused(house, offer["ping_id"], {"counters_unavailable"})
    await tell(redis_url, "CONFIG", "SET", "maxmemory", "0")
    await comes_back(house, offer["ping_id"])


async def test_the_log_says_when_they_go_and_when_they_are_back(
    house: House, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once each, however many pings are refused meanwhile."""
    told: list[str] = []
    monkeypatch.setattr(log, "warning", lambda event, **_: told.append(event))
    monkeypatch.setattr(log, "event", lambda event, **_: told.append(event))
    await until(lambda: house.exchange.rebuilding._was_up is True)
    await tell(redis_url, "CLIENT", "PAUSE", "5000", "ALL")

    async def is_told(event: str) -> bool:
        if event == "counters_away":
            await house.post("/ping", PING)
        return event in told

    await until(lambda: is_told("counters_away"))
    await until(lambda: is_told("counters_back"))
    assert told.count("counters_away") == told.count("counters_back") == 1


async def test_a_script_that_runs_for_long(tmp_path: Path, house: House, redis_url: str) -> None:
    """First the server says nothing, then that it is busy."""
    offer = await house.ping()
    await tell(redis_url, "CONFIG", "SET", "busy-reply-threshold", "100")
    slow = "server.log(server.LOG_WARNING, 'under way') local n = 0; while n < 1e12 do n = n + 1 end"
    stuck = asyncio.create_task(tell(redis_url, "EVAL", slow, 0))
    try:
        await until(lambda: "under way" in (tmp_path / "own" / "valkey.log").read_text())
        status, answer = await house.post("/ping", {**PING, "sub_id": "stuck"})
        assert (status, answer["code"]) == (503, "counters_unavailable")

        async def busy() -> bool:
            return "BUSY" in str(await tell(redis_url, "PING"))

        await until(busy)
        await refused(house, offer["ping_id"], {"counters_unavailable"})
    finally:
        await tell(redis_url, "SCRIPT", "KILL")
        await asyncio.gather(stuck, return_exceptions=True)
    await comes_back(house, offer["ping_id"])


@pytest.mark.slow
@pytest.mark.parametrize("known", [False, True])
async def test_a_server_that_became_a_replica_and_is_promoted_again(
    tmp_path: Path, house: House, redis_url: str, known: bool
) -> None:
    """A fail-over to it, in small: writes are refused, then it is the primary of another's data."""
    offer = await house.ping()
    era = [word.decode() for word in await tell(redis_url, "HMGET", "{house}", "ledger", "counters", "run")]
    with running_valkey(tmp_path / "other") as other:
        port = other.rpartition(":")[2]
        await tell(redis_url, "REPLICAOF", "127.0.0.1", port)
        await until(lambda: not house.exchange.link.up)
        await refused(house, offer["ping_id"], {"counters_unavailable", "counters_rebuilding"})
        assert house.exchange.rebuilding.rebuilds == 1

        async def copied() -> bool:
            return b"master_link_status:up" in await tell(redis_url, "INFO", "replication")

        await until(copied)
        if known:  # the other one's data are a copy of ours, as old as it may be: they say that they are good
            words = [word for pair in zip(["ledger", "counters", "run"], era, strict=True) for word in pair]
            await tell(other, "HSET", "{house}", *words)
        await tell(redis_url, "REPLICAOF", "NO", "ONE")
    await until(lambda: house.exchange.link.up)
    assert house.exchange.rebuilding.rebuilds == 2, "it took over data that were not ours"
    status, answer = await house.post("/post", {"ping_id": offer["ping_id"], "lead": PERSON})
    assert (status, answer["code"]) in ((404, "unknown_ping"), (410, "offer_expired"))
    assert (await house.ping(sub_id="after"))["status"] == "offer"


@pytest.mark.parametrize(
    ("policy", "memory", "told"),
    [("allkeys-lru", "1gb", "refused"), ("volatile-lru", "1gb", "warned"), ("allkeys-lru", "0", "nothing")],
)
async def test_a_server_that_drops_keys(
    tmp_path: Path, sqlite_ledger: str, monkeypatch: pytest.MonkeyPatch, policy: str, memory: str, told: str
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(log, "warning", lambda name, **facts: warned.append(f"{name} {facts.get('policy')}"))
    settings = ("--maxmemory", memory, "--maxmemory-policy", policy)
    with running_valkey(tmp_path / "evicting", *settings) as redis_url:
        if told == "refused":
            with pytest.raises(OperatorError, match="maxmemory-policy noeviction") as refusal:
                async with opened(tmp_path, redis_url, sqlite_ledger):
                    pass
            assert refusal.value.code == "counters_evict"
            return
        async with opened(tmp_path, redis_url, sqlite_ledger) as house:
            assert (await house.ping())["status"] == "offer"
        assert (f"counters_may_evict {policy}" in warned) == (told == "warned")


async def test_counters_of_another_exchange_are_refused(
    tmp_path: Path, redis_url: str, house: House, sqlite_url: str
) -> None:
    """Two ledgers on one Redis would fill each other's caps, and a data folder may have been swapped."""
    other_ledger = f"sqlite:///{tmp_path}/other.db"
    with pytest.raises(OperatorError, match="are of another exchange") as refusal:
        async with opened(tmp_path, redis_url, other_ledger):
            pass
    assert refusal.value.code == "counters_of_another"
    assert (await house.ping())["status"] == "offer"
    async with opened(tmp_path, f"{redis_url}/1", other_ledger) as second:  # another database number
        assert (await second.ping())["status"] == "offer"


async def test_two_machines_with_counters_of_their_own_on_one_ledger_are_found_out(
    tmp_path: Path, redis_url: str, ledger_url: str
) -> None:
    """Each would fill every cap. The second one does not start while the first is alive, and does when it has ended."""
    settings = Settings(data_dir=tmp_path, database_url=ledger_url, counters_timeout_ms=BOUND_MS)
    with running_valkey(tmp_path / "second") as second_url:
        async with opened(tmp_path, redis_url, ledger_url) as first:
            second = Exchange(settings)
            with pytest.raises(OperatorError, match="traded on with other counters") as refusal:
                await second.open(second_url)
            await second.close()
            assert refusal.value.code == "counters_split"
            assert (await first.ping())["status"] == "offer"
        second = Exchange(settings)
        await second.open(second_url)
        assert await second.what_is_away() == []
        await second.close()


async def test_a_server_that_cannot_track_keys_is_looked_at(
    house: House, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some proxies: the loss is found out within a second or so."""
    await tell(redis_url, "ACL", "SETUSER", "default", "-client|tracking")
    await tell(redis_url, "CLIENT", "KILL", "TYPE", "normal")
    await until(lambda: house.exchange.link.up and not house.exchange.rebuilding.gate.tracked)
    rebuilds = house.exchange.rebuilding.rebuilds
    await tell(redis_url, "FLUSHALL")
    await until(lambda: house.exchange.rebuilding.rebuilds > rebuilds)
