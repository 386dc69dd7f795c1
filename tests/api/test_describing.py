from __future__ import annotations

import asyncio

import aiohttp

from auction.catalogue.reading import Source, read_catalogue
from auction.changes.applying import apply_catalogue
from auction.ledger.engine import open_engine
from tests.api.wired import until
from tests.house import KEY, NOON_MS, SELLER, House, catalogue

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
    changed = read_catalogue([Source("c.yaml", catalogue(ORDERS, campaign={"id": "wind"}, sellers=SELLERS))])
    engine = open_engine(house.exchange.settings.ledger_url)
    try:
        await asyncio.to_thread(apply_catalogue, engine, changed, NOON_MS, "test")
    finally:
        engine.dispose()

    async def follows() -> bool:
        _, after = await house.get("/openapi.json")
        return "wind" in str(after)

    await until(follows)
