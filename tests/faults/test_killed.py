"""`kill -9` and SIGSTOP of the process that has a lead in hand, at each instant: it is finished once, by whoever lives.

Real processes, seen from outside: what sellers are answered, what the ledger says, what buyers were sent.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from auction.counters.embedded import EmbeddedValkey
from auction.counters.link import Link
from auction.ledger.engine import open_engine
from auction.ledger.lead_queries import find_lead_by_ping, offers_of, sales_of
from auction.ledger.workers import all_workers
from tests.faults.breaking import eventually
from tests.faults.holding import HeldBuyer, held_buyer
from tests.house import PERSON, catalogue
from tests.servers import Client, Served, client_of, running_server

LEASE = {"AUCTION_WORKER_LEASE_MS": "2000"}


class Stage:
    """A server that may be killed and started again, its two buyers, and an eye on its ledger."""

    def __init__(self, folder: Path, a: HeldBuyer, b: HeldBuyer, safe: bool, redis_url: str | None) -> None:
        self.folder = folder
        self.a = a
        self.b = b
        self._safe = safe
        self._redis_url = redis_url
        self._running = ExitStack()

    def start(self, workers: int = 1) -> Served:
        """`auction serve`, ready."""
        terms = {"idempotent": self._safe, "post_timeout_ms": 20_000}
        buyers = {"a": {"post_url": self.a.url, **terms}, "b": {"post_url": self.b.url, **terms}}
        orders = [self.a.order("a", 30), self.b.order("b", 20)]
        environ = dict(LEASE)
        if self._redis_url:
            environ["AUCTION_REDIS_URL"] = self._redis_url
        return self._running.enter_context(
            running_server(
                self.folder,
                "",
                lambda _: catalogue(orders, buyers=buyers),
                workers=workers,
                environ=environ,
            )
        )

    def kill(self, served: Served) -> None:
        """All of it, with its workers, as the kernel would."""
        os.killpg(served.process.pid, signal.SIGKILL)
        self._running.close()
        self._running = ExitStack()

    def close(self) -> None:
        self._running.close()

    @property
    def ledger(self) -> Path:
        return self.folder / "data" / "ledger.sqlite3"

    def read(self, ping_id: str) -> dict[str, Any]:
        """The ping's lead as the ledger has it; empty while it has none."""
        engine = open_engine(f"sqlite:///{self.ledger}")
        try:
            with engine.connect() as conn:
                lead = find_lead_by_ping(conn, ping_id)
                if lead is None:
                    return {}
                return {
                    "state": lead.state,
                    "offers": {one.order_id: one.state for one in offers_of(conn, lead.lead_id)},
                    "sold": [one.buyer_id for one in sales_of(conn, lead.lead_id)],
                    "worker": lead.worker,
                    "pids": {one.id: one.pid for one in all_workers(conn)},
                }
        finally:
            engine.dispose()

    async def until(self, ping_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The ping's lead once it is so."""

        async def so() -> bool:
            found = self.read(ping_id)
            return bool(found) and holds(found)

        await eventually(so, 20)
        return self.read(ping_id)

    async def ended(self, ping_id: str) -> dict[str, Any]:
        return await self.until(ping_id, lambda found: found["state"] != "offered")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else writes to the ledger."""
        conn = sqlite3.connect(self.ledger, isolation_level=None)
        conn.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            conn.execute("ROLLBACK")
            conn.close()


@asynccontextmanager
async def stage(folder: Path, *, safe: bool, redis_url: str | None = None) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        a, b = await stack.enter_async_context(held_buyer()), await stack.enter_async_context(held_buyer())
        b.speaks.set()
        own = Stage(folder, a, b, safe, redis_url)
        try:
            yield own
        finally:
            own.close()


async def offered(client: Client) -> str:
    status, answer = await client.post("/ping", {"campaign": "solar", "lead": {"state": "TX"}})
    assert (status, answer["status"]) == (200, "offer"), answer
    return str(answer["ping_id"])


def post(client: Client, ping_id: str) -> asyncio.Task[Any]:
    return asyncio.create_task(client.post("/post", {"ping_id": ping_id, "lead": PERSON}))


async def repeated(served: Served, ping_id: str) -> dict[str, Any]:
    """The answer that the seller gets in the end."""
    async with client_of(served) as client:
        while True:
            status, answer = await client.post("/post", {"ping_id": ping_id, "lead": PERSON})
            if (status, answer.get("code")) == (409, "post_in_progress"):
                continue
            assert status == 200, answer
            return answer


@pytest.fixture
async def other_valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """Counters that outlive the server, and that a test may freeze."""
    (tmp_path / "counters").mkdir()
    server = EmbeddedValkey(tmp_path / "counters")
    server.start()
    yield server
    server.stop()


@contextmanager
def frozen(server: EmbeddedValkey) -> Iterator[None]:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def claimed(valkey: EmbeddedValkey, ping_id: str) -> None:
    """Until a post has the ping."""
    link = Link(valkey.url, bound_ms=5_000)
    await link.open()

    async def taken() -> bool:
        return await link.call("HGET", f"{{ping:{ping_id}}}", "claimant") is not None

    await eventually(taken)
    await link.close()


@pytest.mark.parametrize(
    ("safe", "says", "state", "sold", "asked"),
    [
        (True, "accepted", "sold", ["a"], (2, 0)),
        (True, "rejected", "sold", ["b"], (2, 1)),
        (False, "accepted", "pending", [], (1, 0)),
    ],
)
async def test_killed_while_the_buyer_holds_its_answer(
    tmp_path: Path, safe: bool, says: str, state: str, sold: list[str], asked: tuple[int, int]
) -> None:
    async with stage(tmp_path, safe=safe) as own:
        own.a.says = says
        served = own.start()
        async with client_of(served) as client:
            ping_id = await offered(client)
            first = post(client, ping_id)
            await own.a.until_asked()
            own.kill(served)
            await asyncio.gather(first, return_exceptions=True)
        own.a.speaks.set()
        served = own.start()
        answer = await repeated(served, ping_id)
        assert (answer["status"], answer.get("buyers", [])) == (state, sold)
        found = await own.ended(ping_id)
        assert (found["state"], found["sold"]) == (state, sold)
        assert (len(own.a.bodies), len(own.b.bodies)) == asked
        assert len(set(own.a.bodies)) == len(set(own.a.keys)) == 1, "the same offer to the last byte"


@pytest.mark.slow
@pytest.mark.parametrize("safe", [True, False])
async def test_killed_between_the_buyers_yes_and_its_settlement(tmp_path: Path, safe: bool) -> None:
    async with stage(tmp_path, safe=safe) as own:
        served = own.start()
        async with client_of(served) as client:
            ping_id = await offered(client)
            first = post(client, ping_id)
            await own.a.until_asked()
            with own.locked():
                own.a.speaks.set()

                async def answered() -> bool:
                    return own.a.answered == 1

                await eventually(answered)
                await asyncio.sleep(0.2)
                own.kill(served)
            await asyncio.gather(first, return_exceptions=True)
        served = own.start()
        answer = await repeated(served, ping_id)
        assert answer["status"] == ("sold" if safe else "pending")
        assert (await own.ended(ping_id))["sold"] == (["a"] if safe else [])
        assert len(own.a.leads) == 1
        assert own.b.bodies == []


@pytest.mark.slow
@pytest.mark.parametrize("safe", [True, False])
async def test_killed_between_the_intent_and_the_offer(
    tmp_path: Path, other_valkey: EmbeddedValkey, safe: bool
) -> None:
    async with stage(tmp_path, safe=safe, redis_url=other_valkey.url) as own:
        own.a.speaks.set()
        served = own.start()
        async with client_of(served) as client:
            ping_id = await offered(client)
            with own.locked():
                first = post(client, ping_id)
                await claimed(other_valkey, ping_id)
                stopping = frozen(other_valkey)
                stopping.__enter__()
            await own.until(ping_id, lambda found: found["state"] == "offered")
            own.kill(served)
            stopping.__exit__(None, None, None)
            await asyncio.gather(first, return_exceptions=True)
        assert own.a.bodies == []
        served = own.start()
        answer = await repeated(served, ping_id)
        assert answer["status"] == ("sold" if safe else "pending")
        assert len(own.a.bodies) == safe


@pytest.mark.slow
async def test_killed_when_it_was_settled_and_nobody_was_told(
    tmp_path: Path, other_valkey: EmbeddedValkey
) -> None:
    async with stage(tmp_path, safe=False, redis_url=other_valkey.url) as own:
        served = own.start()
        async with client_of(served) as client:
            ping_id = await offered(client)
            first = post(client, ping_id)
            await own.a.until_asked()
            with frozen(other_valkey):
                own.a.speaks.set()
                await own.until(ping_id, lambda found: found["state"] == "sold")
                own.kill(served)
            await asyncio.gather(first, return_exceptions=True)
        served = own.start()
        assert (await repeated(served, ping_id))["buyers"] == ["a"]
        assert len(own.a.bodies) == 1


@pytest.mark.slow
async def test_a_worker_that_is_killed_is_not_waited_for_by_its_neighbour(tmp_path: Path) -> None:
    """Its process is gone, and the other knows at once."""
    async with stage(tmp_path, safe=True) as own:
        served = own.start(workers=2)
        async with client_of(served) as client:
            ping_id = await offered(client)
            first = post(client, ping_id)
            await own.a.until_asked()
            found = own.read(ping_id)
            os.kill(found["pids"][found["worker"]], signal.SIGKILL)
            own.a.speaks.set()
            await asyncio.gather(first, return_exceptions=True)
            ended = await own.ended(ping_id)
            assert ended["sold"] == ["a"]
            assert ended["worker"] != found["worker"]
        assert (await repeated(served, ping_id))["status"] == "sold"
        assert len(own.a.leads) == 1


@pytest.mark.slow
async def test_a_worker_that_was_stopped_wakes_with_its_buyers_answer(tmp_path: Path) -> None:
    """It was taken over as pending: the answer settles that very offer, and no more is sent."""
    async with stage(tmp_path, safe=False) as own:
        served = own.start(workers=2)
        async with client_of(served) as client:
            ping_id = await offered(client)
            first = post(client, ping_id)
            await own.a.until_asked()
            found = own.read(ping_id)
            stopped = found["pids"][found["worker"]]
            os.kill(stopped, signal.SIGSTOP)
            try:
                pending = await own.ended(ping_id)
                assert pending["state"] == "pending"
                own.a.speaks.set()
                await asyncio.sleep(0.1)
            finally:
                os.kill(stopped, signal.SIGCONT)
            status, answer = await first
            assert (status, answer["status"]) in ((200, "pending"), (200, "sold"))
            assert (await own.until(ping_id, lambda found: found["state"] == "sold"))["sold"] == ["a"]
        assert (await repeated(served, ping_id))["buyers"] == ["a"]
        assert (len(own.a.bodies), len(own.b.bodies)) == (1, 0)


async def test_a_worker_that_was_stopped_before_it_sent_anything_sends_nothing(
    tmp_path: Path, other_valkey: EmbeddedValkey
) -> None:
    async with stage(tmp_path, safe=True, redis_url=other_valkey.url) as own:
        own.a.speaks.set()
        served = own.start(workers=2)
        async with client_of(served) as client:
            ping_id = await offered(client)
            with own.locked():
                first = post(client, ping_id)
                await claimed(other_valkey, ping_id)
                stopping = frozen(other_valkey)
                stopping.__enter__()
            found = await own.until(ping_id, lambda found: found["state"] == "offered")
            stopped = found["pids"][found["worker"]]
            os.kill(stopped, signal.SIGSTOP)
            try:
                stopping.__exit__(None, None, None)
                assert (await own.ended(ping_id))["sold"] == ["a"]
            finally:
                os.kill(stopped, signal.SIGCONT)
            status, answer = await first
            assert (status, answer["status"]) == (200, "sold")
        assert len(own.a.bodies) == 1
        assert own.b.bodies == []
