"""`kill -9` of the process that tries a waiting lead again: the lead is sold once, by whoever comes after."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from auction.ledger.engine import open_engine, transaction
from auction.ledger.lead_queries import find_lead, offers_of, sales_of
from auction.ledger.schema import waits
from tests.faults.breaking import eventually
from tests.faults.holding import HeldBuyer, held_buyer
from tests.house import KEY_HASH, catalogue
from tests.servers import Served, client_of, running_server

LEASE = {"AUCTION_WORKER_LEASE_MS": "2000"}
WAITS = {"pending_hours": 5, "doors": {"leads": {}}}
SELLER = {"id": "acme", "keys": [KEY_HASH]}
LEAD = {"seller": "acme", "category": "solar", "state": "TX", "firstName": "Ann", "phone": "512-555-0142"}


class Waited:
    """A server with one lead that waits, and one buyer that takes it from the second start on."""

    def __init__(self, folder: Path, buyer: HeldBuyer, safe: bool) -> None:
        self.folder = folder
        self.buyer = buyer
        self.safe = safe
        self.lead_id = ""

    @contextmanager
    def running(self, *, closed: bool = False, workers: int = 1) -> Iterator[Served]:
        terms = {"post_url": self.buyer.url, "idempotent": self.safe, "post_timeout_ms": 20_000}
        order = self.buyer.order("a", 30) | ({"filter": {"field": "state", "equals": "OK"}} if closed else {})
        text = partial(catalogue, [order], buyers={"a": terms}, campaign=WAITS, sellers=[SELLER])
        with running_server(self.folder, "", lambda _: text(), workers=workers, environ=LEASE) as served:
            yield served

    def do(self, op: Callable[..., Any]) -> Any:
        """On the server's ledger, beside it."""
        engine = open_engine(f"sqlite:///{self.folder / 'data' / 'ledger.sqlite3'}")
        try:
            with transaction(engine) as conn:
                return op(conn)
        finally:
            engine.dispose()

    def state(self) -> str:
        return str(self.do(partial(find_lead, lead_id=self.lead_id)).state)

    async def begin(self) -> None:
        """The lead comes in and waits; its next turn is now."""
        with self.running(closed=True) as served:
            async with client_of(served) as client:
                status, answer = await client.post("/api/leads", LEAD)
        assert (status, answer["status"]) == (200, "pending")
        self.lead_id = answer["lead_id"]
        self.do(lambda conn: conn.execute(update(waits).values(next_at_ms=1)))

    async def until(self, *states: str) -> None:
        async def so() -> bool:
            return self.state() in states

        await eventually(so, 20)

    def came_to(self) -> tuple[str, list[str], int]:
        sales = self.do(partial(sales_of, lead_id=self.lead_id))
        return (
            self.state(),
            [one.buyer_id for one in sales],
            len(self.do(partial(offers_of, lead_id=self.lead_id))),
        )


@pytest.mark.parametrize(
    ("safe", "ends", "sold"),
    [(True, "sold", ["a"]), pytest.param(False, "pending", [], marks=pytest.mark.slow)],
)
async def test_killed_while_the_buyer_holds_its_answer(
    tmp_path: Path, safe: bool, ends: str, sold: list[str]
) -> None:
    async with held_buyer() as buyer:
        waited = Waited(tmp_path, buyer, safe)
        await waited.begin()
        with ExitStack() as first:
            served = first.enter_context(waited.running())
            await buyer.until_asked()
            assert waited.state() == "offered"
            os.killpg(served.process.pid, signal.SIGKILL)
        buyer.speaks.set()
        with waited.running():
            await waited.until("sold", "pending")
        assert waited.came_to() == (ends, sold, 1)
        assert len(set(buyer.keys)) == 1  # the same lead and order, whoever sent it
        assert len(buyer.keys) == (2 if safe else 1)


async def test_two_workers_sell_it_once(tmp_path: Path) -> None:
    async with held_buyer() as buyer:
        buyer.speaks.set()
        waited = Waited(tmp_path, buyer, safe=True)
        await waited.begin()
        with waited.running(workers=2):
            await waited.until("sold")
        assert waited.came_to() == ("sold", ["a"], 1)
        assert len(buyer.keys) == 1
