"""`auction apply` on a running house of two workers: no request fails, and new terms hold within a second or so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.house import PERSON, catalogue
from tests.servers import Client, Served, client_of, running_buyers, running_server

SELLERS, THINK_S = 6, 0.02
IN_A_ROW = 25
"""Pings that must agree before new terms are taken as those of both workers."""
LATEST_S = 6.0
"""New terms are promised within a second; this is for a machine that has other things to do."""


def terms(mock_url: str, price: float, **order: Any) -> str:
    """A market of one order at this price, and another that takes what it leaves."""
    orders = [
        {"id": "first", "buyer": "ann", "price": {"fixed": price}, **order},
        {"id": "rest", "buyer": "ben", "price": {"fixed": 1.0}},
    ]
    return catalogue(orders, mock_url=mock_url)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The house, trading at 30."""
    folder = tmp_path_factory.mktemp("applying")
    with (
        running_buyers(folder, {"ann": {}, "ben": {}}) as mock_url,
        running_server(folder, mock_url, partial(terms, price=30), workers=2) as served,
    ):
        yield served


class Load:
    """Sellers that ping and post all the time. Every answer must be a good one."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._numbers = count()
        self.pings: list[tuple[float, float]] = []  # when each was sent, and what it was offered

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sells until the end of the block. A failed request fails the block."""
        sellers = [asyncio.create_task(self._sell()) for _ in range(SELLERS)]
        try:
            yield
        finally:
            for seller in sellers:
                seller.cancel()
            ended = await asyncio.gather(*sellers, return_exceptions=True)
            failed = [error for error in ended if not isinstance(error, asyncio.CancelledError)]
            assert not failed, failed

    async def settled(self, payout: float, since_s: float) -> float:
        """Waits until all are offered `payout`: how long after `since_s` the last other offer was asked for."""
        while True:
            recent = [offered for sent_s, offered in self.pings[-IN_A_ROW:] if sent_s > since_s]
            if len(recent) == IN_A_ROW and set(recent) == {payout}:
                others = [sent_s for sent_s, offered in self.pings if sent_s > since_s and offered != payout]
                return max(others, default=since_s) - since_s
            assert time.monotonic() - since_s < 3 * LATEST_S, f"{payout} is not traded on: {recent}"
            await asyncio.sleep(0.02)

    async def _sell(self) -> None:
        while True:
            ping = {"campaign": "solar", "lead": {"state": "TX"}, "sub_id": str(next(self._numbers))}
            sent_s = time.monotonic()
            status, offer = await self._client.post("/ping", ping)
            assert (status, offer["status"]) == (200, "offer"), offer
            self.pings.append((sent_s, offer["payout"]))
            status, sale = await self._client.post("/post", {"ping_id": offer["ping_id"], "lead": PERSON})
            assert (status, sale["status"]) == (200, "sold"), sale
            await asyncio.sleep(THINK_S)


@pytest.mark.slow
async def test_new_terms_are_traded_on_and_no_request_fails(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "market.yaml"
    steps: list[tuple[dict[str, Any], float]] = [
        ({"price": 26, "paused": True}, 1.0),
        ({"price": 25}, 25.0),
        ({"price": 28, "caps": [{"leads": 3, "per": "total"}]}, 1.0),  # three are soon sold
    ]
    async with client_of(served) as client:
        load = Load(client)
        async with load.running():
            await load.settled(30.0, time.monotonic())
            for version, (changed, payout) in enumerate(steps, 2):
                file.write_text(terms(served.mock_url, **changed))
                code, told, errors = await client.run("apply", str(file))
                assert (code, told.splitlines()[-1]) == (0, f"version {version}"), errors
                assert await load.settled(payout, time.monotonic()) < LATEST_S

            file.write_text(terms(served.mock_url, 31).replace("price:", "prize:"))
            code, _, errors = await client.run("apply", str(file))
            assert code == 2
            assert "did you mean `price`?" in errors
            refused_s = time.monotonic()
            await asyncio.sleep(0.7)
            assert {offered for sent_s, offered in load.pings if sent_s > refused_s} == {1.0}
        # leads of the old market that are posted on the new one take places as well
        assert [offered for _, offered in load.pings].count(28.0) <= 3
        assert await client.get("/readyz") == (200, {"status": "ready", "market_version": 4})
    assert '"level":"error"' not in served.process.printed()
