"""Counters that lose what they knew of pings, under a running house: by the buyers' own logs, none is asked more often
than its cap allows (P10); and whoever has no part in it is asked on."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from auction import exchange
from auction.ledger.engine import open_engine
from auction.ledger.ping_leases import leased_pings
from auction.measures import families_of
from tests.api.wired import until
from tests.faults.killer import Own
from tests.house import House, catalogue, open_house
from tests.servers import Client, client_of, running_buyers, running_server
from tests.valkeys import OwnValkey

PING: dict[str, Any] = {"campaign": "solar", "lead": {"state": "TX"}}


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[OwnValkey]:
    server = OwnValkey(tmp_path / "counters")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def house(tmp_path: Path, own_valkey: OwnValkey, sqlite_ledger: str) -> AsyncIterator[House]:
    orders: list[dict[str, Any]] = [
        {"id": "a", "buyer": "ann", "caps": [{"pings": 12, "per": "day"}]},
        {"id": "b", "buyer": "ben", "caps": [{"pings": 3, "per": "minute"}]},
        {"id": "c", "buyer": "cid"},
    ]
    async with open_house(tmp_path, own_valkey.url, sqlite_ledger, orders) as house:
        yield house
        assert house.app.bugs == 0


async def asked(house: House) -> dict[str, int]:
    """By the mock's log: how often each buyer was."""
    return {buyer: len(await house.seen(buyer, "ping")) for buyer in ("ann", "ben", "cid")}


async def lost(house: House, valkey: OwnValkey, how: str) -> None:
    """The counters lose everything (or what came after the last dump); calls go again when it returns."""
    rebuilds = house.exchange.rebuilding.rebuilds
    if how == "flushed":
        await valkey.tell("FLUSHALL")
    else:
        valkey.kill()
        if how == "set back":
            valkey.restore()
        elif how == "emptied":
            valkey.empty()
        valkey.start()
    await until(lambda: house.exchange.rebuilding.rebuilds > rebuilds)
    await until(lambda: house.exchange.link.up)


@pytest.mark.parametrize("how", ["flushed", "emptied", "set back", "killed"])
async def test_after_a_loss_nobody_is_asked_more_than_its_cap(
    house: House, own_valkey: OwnValkey, how: str
) -> None:
    numbers = count()

    async def ping(times: int) -> None:
        for _ in range(times):
            await house.ping(sub_id=str(next(numbers)))

    own_valkey.dump()
    await ping(2)
    await lost(house, own_valkey, how)
    await ping(3)
    before = await asked(house)
    assert before == {"ann": 5, "ben": before["ben"], "cid": 5}
    assert 2 <= before["ben"] <= 3, "the minute is used up, but for what was in hand"
    await lost(house, own_valkey, how)
    await ping(10)
    house.clock.move(60_000)
    await ping(10)
    after = await asked(house)
    assert after["cid"] == 25
    assert 11 <= after["ann"] <= 12
    assert after["ben"] == before["ben"] + 3
    shown = (await house.exchange.counters.peek("ann", _caps(house, "a"), house.clock.now_ms()))[0]
    assert shown[1] >= after["ann"]


async def test_a_house_that_starts_for_the_first_time_has_its_minutes(house: House) -> None:
    """There was nothing to lose."""
    for number in range(3):
        await house.ping(sub_id=str(number))
    assert await asked(house) == {"ann": 3, "ben": 3, "cid": 3}


async def test_while_the_ledger_is_away_pings_go_on_and_what_they_took_is_written_when_it_is_back(
    tmp_path: Path, emptied_valkey: str, sqlite_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the pace of memory, but for the first, which waits for the ledger a while; and it is seen in /metrics."""
    monkeypatch.setattr(exchange, "open_engine", partial(open_engine, busy_ms=200))
    orders: list[dict[str, Any]] = [{"id": "a", "buyer": "ann", "caps": [{"pings": 60, "per": "day"}]}]
    async with open_house(tmp_path, emptied_valkey, sqlite_ledger, orders) as house:
        book = house.exchange.lease_book
        other = sqlite3.connect(sqlite_ledger.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began_s = perf_counter()
        for number in range(20):
            await house.ping(sub_id=str(number))
        assert perf_counter() - began_s < 20 * 0.2, "none waits for the ledger's own bound"
        assert len(await house.seen("ann", "ping")) == 20
        values = {family.name: family.values for family in families_of(house.exchange)}
        ((_, unwritten),), ((_, pings),) = (
            values[f"auction_{name}"] for name in ("ping_leases_unwritten", "pings_unwritten")
        )
        assert unwritten >= 10
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: book.pings_unwritten == 0)
        await book.flush()
        found = await house.exchange.reader.read(partial(leased_pings, buyer_ids=["ann"], after_ms=0))
        assert 20 <= found[0].pings <= 23
        assert pings <= found[0].pings


def _caps(house: House, order_id: str) -> Any:
    return house.exchange.floor.market.orders[order_id].ping_caps


CAPS = {"ann": 19, "ben": 150, "cid": 400}


class Seller:
    """Pings until told to stop; whatever is refused for the counters is no matter."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._numbers = count()
        self.stopping = False
        self.answered = 0

    async def run(self) -> None:
        while not self.stopping:
            try:
                status, answer = await self._client.post(
                    "/ping", {**PING, "sub_id": str(next(self._numbers))}
                )
            except OSError:  # the worker was killed
                continue
            if status == 200:
                self.answered += 1
            else:
                assert answer["code"] in ("counters_unavailable", "counters_rebuilding"), answer
                await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_counters_without_their_data_and_a_worker_killed_at_once(
    tmp_path: Path, own_valkey: OwnValkey
) -> None:
    """Three times, while four sellers ping: seen from outside, and by the buyers' logs."""
    orders = [
        {"id": f"{name}-1", "buyer": name, "caps": [{"pings": cap, "per": "total"}]}
        for name, cap in CAPS.items()
    ]
    own = Own()
    environ = {"AUCTION_REDIS_URL": own_valkey.url, "AUCTION_COUNTERS_TIMEOUT_MS": "250"}
    with (
        running_buyers(tmp_path, {name: {} for name in CAPS}) as mock_url,
        running_server(
            tmp_path, mock_url, lambda url: catalogue(orders, mock_url=url), workers=2, environ=environ
        ) as served,
    ):
        async with client_of(served) as client:
            seller = Seller(client)
            selling = [asyncio.create_task(seller.run()) for _ in range(4)]
            try:
                for _ in range(3):
                    enough = seller.answered + 60
                    await until(lambda: seller.answered >= enough, 40)  # noqa: B023
                    worker = next(one for one in own.below(served.process.pid) if "worker" in one.cmdline())
                    own_valkey.kill()
                    own.signal(worker, signal.SIGKILL)
                    own_valkey.empty()
                    await asyncio.to_thread(own_valkey.start)
                enough = seller.answered + 450
                await until(lambda: seller.answered >= enough, 60)
            finally:
                seller.stopping = True
                await asyncio.gather(*selling)
            asks = {name: len(await client.seen(name, "ping")) for name in CAPS}
            code, told, errors = await client.run("reconcile", environ=environ)
    assert (code, told) == (0, "3 windows, 0 differ\n"), told + errors
    assert all(asks[name] <= cap for name, cap in CAPS.items()), asks
    assert asks["cid"] >= 300, asks
    assert asks["ben"] >= 100, asks
