"""A house that sends postbacks only when the test says so, and sellers' servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from auction.ledger.postbacks import Postback, list_postbacks
from auction.post.settling import Said
from auction.postbacks.sender import Postbacks
from tests.house import KEY_HASH, House, catalogue
from tests.postbacks.receiver import Receiver, receiving

ORDERS: list[dict[str, Any]] = [{"id": "a", "buyer": "a-co"}]
TAKES: dict[str, Any] = {"a-co": {"bid": {"price": 30}}}
LOSES: dict[str, Any] = {"a-co": {"bid": {"price": 30}, "post": {"faults": {"reset": 1.0}}}}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def seller(*postbacks: dict[str, Any]) -> list[dict[str, Any]]:
    """The test's seller, told so."""
    return [{"id": "acme", "keys": [KEY_HASH], "postbacks": list(postbacks)}]


class Telling:
    """A house, and its sender in the test's hands."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.sender = house.exchange.postbacks

    async def stop(self) -> None:
        """The house looks no more by itself."""
        assert self.sender._task is not None
        self.sender._task.cancel()
        await asyncio.gather(self.sender._task, return_exceptions=True)

    def another(self, worker: str, **more: Any) -> Postbacks:
        """One more worker's sender on the same ledger."""
        exchange = self.house.exchange
        return Postbacks(
            exchange.writer,
            exchange.reader,
            exchange._sealer,
            lambda: exchange.floor.market,
            self.house.clock,
            worker,
            {},
            **{"allow_private": True, **more},
        )

    async def turn(self, sender: Postbacks | None = None) -> None:
        """Everything that is due now is tried, and what came of it written."""
        one, tries = sender or self.sender, -1
        async with asyncio.timeout(30):
            while tries != (tries := one.delivered + sum(one.failed.values())):
                await one.look()
                while one._lanes.queued:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

    async def sell(self, *, test: bool = False, **more: Any) -> str:
        """A lead that is posted; its id."""
        ping = await self.house.ping(test=test, **more)
        return str((await self.house.sell(ping["ping_id"]))["lead_id"])

    async def accept(self, lead_id: str) -> None:
        """Somebody learns that the buyer took a lead that was pending."""
        await self.house.exchange.settling.settle(lead_id, Said(accepted=True, by="test"))

    async def stored(self, **which: Any) -> list[Postback]:
        """Postbacks as they stand in the ledger."""
        return await self.house.exchange.reader.read(lambda conn: list_postbacks(conn, 1_000, **which))

    async def apply(self, *postbacks: dict[str, Any], wait: bool = True) -> None:
        """The seller has these postbacks from now on."""
        text = catalogue(ORDERS, mock_url=self.house.mock.url, sellers=seller(*postbacks))
        before = self.house.exchange.swapping.swaps
        await self.house.store(text)
        async with asyncio.timeout(20):
            while wait and self.house.exchange.swapping.swaps == before:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


OpenTelling = Callable[..., Awaitable[Telling]]


@pytest.fixture
async def open_telling(open_test_house: Any) -> OpenTelling:
    """`await open_telling(postback, …, manners=…)`: a house whose seller has these. On SQLite and PostgreSQL."""

    async def opened(*postbacks: dict[str, Any], manners: dict[str, Any] = TAKES) -> Telling:
        telling = Telling(await open_test_house(ORDERS, manners, sellers=seller(*postbacks)))
        await telling.stop()
        return telling

    return opened


@pytest.fixture
async def open_receiver() -> AsyncIterator[Callable[[], Awaitable[Receiver]]]:
    """One more server of a seller."""
    async with AsyncExitStack() as opened:
        yield lambda: opened.enter_async_context(receiving())


@pytest.fixture
async def receiver(open_receiver: Callable[[], Awaitable[Receiver]]) -> Receiver:
    """A server of a seller."""
    return await open_receiver()
