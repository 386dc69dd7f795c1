"""A house for the doors' tests, which must come out of them with no bug and no error in its log."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from auction.ledger.engine import open_engine
from auction.ledger.schema import fingerprints, leads, offers, pings, sales
from tests.api.wired import Wired, wired
from tests.house import SELLER, House, open_house

OpenDoors = Callable[..., Awaitable[House]]


def hash_of_key(key: str) -> str:
    """A key as a catalogue keeps it."""
    return f"sha256:{sha256(key.encode()).hexdigest()}"


SELLERS: list[dict[str, Any]] = [
    {**SELLER, "campaigns": ["solar"]},
    {"id": "rival", "keys": [hash_of_key("rival-key")]},
    {"id": "paused", "keys": [hash_of_key("paused-key")], "paused": True},
    {"id": "limited", "keys": [hash_of_key("limited-key")], "rate_limit": "3/minute"},
]
ROOFING = {"id": "roofing", "fields": [{"name": "state", "type": "us_state", "required": "ping"}]}
ORDERS = [{"id": "a", "buyer": "a-co"}]
MANNERS = {"a-co": {"bid": {"price": 30}}}


@pytest.fixture
async def open_doors(
    tmp_path: Path, emptied_valkey: str, sqlite_ledger: str, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[OpenDoors]:
    """Opens a house of one order and four sellers; `changes` as `open_house` takes them."""
    async with AsyncExitStack() as houses:
        opened: list[House] = []

        async def open_one(
            orders: list[dict[str, Any]] | None = None,
            manners: dict[str, Any] | None = None,
            **changes: Any,
        ) -> House:
            changes = {"sellers": SELLERS, "more_campaigns": [ROOFING], **changes}
            house = open_house(
                tmp_path, emptied_valkey, sqlite_ledger, orders or ORDERS, manners or MANNERS, **changes
            )
            opened.append(await houses.enter_async_context(house))
            return opened[-1]

        yield open_one
        assert [house.app.bugs for house in opened] == [0] * len(opened)
    assert [entry.getMessage() for entry in caplog.records if entry.levelno >= logging.ERROR] == []


@pytest.fixture
async def house(open_doors: OpenDoors) -> House:
    """The plainest house."""
    return await open_doors()


@pytest.fixture
async def line(house: House) -> AsyncIterator[Wired]:
    """One connection to the plainest house."""
    async with wired(house.url) as one:
        yield one


class Traces:
    """What a house keeps of a request: its rows and its counters."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def taken(self) -> dict[str, Any]:
        """All there is now, to be compared with later."""
        await self._house.exchange.writer.flush()
        engine = open_engine(self._house.exchange.settings.ledger_url)
        try:
            with engine.connect() as conn:
                kept: dict[str, Any] = {
                    table.name: conn.execute(table.select()).all()
                    for table in (pings, leads, offers, sales, fingerprints)
                }
        finally:
            engine.dispose()
        link = self._house.exchange.link
        kept["keys"] = {key: await link.call("DUMP", key) for key in sorted(await link.call("KEYS", "*"))}
        return kept


@pytest.fixture
def traces(house: House) -> Traces:
    """Of the plainest house."""
    return Traces(house)
