from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from auction.api import describing
from auction.api.describing import DescribingDoor
from tests.api.wired import until
from tests.house import KEY, SELLER, House, catalogue

ORDERS = [{"id": "a", "buyer": "a-co"}]
SELLERS = [{**SELLER, "campaigns": ["wind"]}]


async def test_the_document_is_everybodys_and_its_leads_the_sellers(house: House) -> None:
    status, told = await house.get("/openapi.json", **{"x-api-key": KEY})
    assert (status, told["openapi"]) == (200, "3.1.0")
    assert "first_name" in str(told["paths"]["/post"])
    assert "roofing" not in str(told)  # not open to this seller
    status, problem = await house.get("/openapi.json", **{"x-api-key": "nobody's"})
    assert (status, problem["code"]) == (401, "unknown_key")


async def test_without_a_key_it_is_everybodys(house: House) -> None:
    async with aiohttp.ClientSession() as stranger:
        async with stranger.get(f"{house.url}/openapi.json") as response:
            told = await response.text()
        async with stranger.get(f"{house.url}/docs") as response:
            shown = await response.text()
            assert response.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "first_name" not in told + shown
    assert "/direct" in told
    assert "/direct" in shown


async def test_a_document_is_made_once_for_each_market(house: House) -> None:
    before = await house.get("/openapi.json")
    assert await house.get("/openapi.json") == before
    await house.store(catalogue(ORDERS, campaign={"id": "wind"}, sellers=SELLERS))

    async def follows() -> bool:
        _, after = await house.get("/openapi.json")
        return "wind" in str(after)

    await until(follows)


async def test_so_many_as_may_ask_at_once_it_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For everybody once for the house, for a seller once for each market."""
    made: list[str | None] = []

    def make(form: str, house: str, campaigns: list[Any], seller: str | None) -> bytes:
        made.append(seller)
        return f"{form} of {house} for {seller}".encode()

    monkeypatch.setattr(describing, "_made", make)
    acme = SimpleNamespace(seller="acme", campaigns=())
    catalogue = SimpleNamespace(campaigns=())
    market = SimpleNamespace(version=1, house="Test", sellers={"acme": acme}, catalogue=catalogue)
    exchange: Any = SimpleNamespace(floor=SimpleNamespace(market=market))
    door = DescribingDoor(exchange)

    async def told(seller: str | None) -> set[bytes]:
        return set(await asyncio.gather(*(door._told("json", seller) for _ in range(20))))

    for version in (1, 2):
        market.version = version
        assert await told(None) == {b"json of Test for None"}
        assert await told("acme") == {b"json of Test for acme"}
    assert made == [None, "acme", "acme"]
    market.version, market.house = 3, "Another"
    assert await told(None) == {b"json of Another for None"}
