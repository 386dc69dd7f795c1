"""A redirect URL in an answer that is given again for its key: byte for byte, and never in the store of keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from auction.ledger.faults import away
from auction.ledger.sealing import Sealer
from tests.api.conftest import OpenDoors
from tests.house import CAMPAIGN, PERSON, PING, House

URL = 'https://a.example/?e=Ann&n=Ü\\"/'
MANNERS = {"a-co": {"bid": {"price": 30}, "post": {"redirect_url": URL}}}
DIRECT = {**PING, "lead": {**PING["lead"], **PERSON}}
BY_DOOR: dict[str, Any] = {
    "/direct": DIRECT,
    "/api.php": {"name": "Ann", "phone": "512-555-0142", "geo": "TX"},
}
DOORS = pytest.mark.parametrize("door", ["/post", "/direct", "/api.php"])
Given = tuple[int, bytes, str | None]


@pytest.fixture
async def house(open_doors: OpenDoors) -> House:
    """Its buyer sends the consumer on."""
    return await open_doors(None, MANNERS, campaign={"doors": {"router": {}}}, more_campaigns=())


async def given(house: House, door: str, body: dict[str, Any], key: str = "k1") -> Given:
    """Status, bytes, and whether it was said to be given again."""
    sent = {"content-type": "application/json", "idempotency-key": key}
    data = msgspec.json.encode(body)
    async with house._session.post(house.url + door, data=data, headers=sent) as response:
        return response.status, await response.read(), response.headers.get("idempotent-replayed")


async def body_of(house: House, door: str) -> dict[str, Any]:
    if door == "/post":
        return {"ping_id": (await house.ping())["ping_id"], "lead": PERSON}
    return dict(BY_DOOR[door])


def reading_with(
    house: House, monkeypatch: pytest.MonkeyPatch, before: Callable[[], Awaitable[None]]
) -> None:
    """From now on `before` comes before every read of the ledger."""
    reader: Any = house.exchange.reader
    read = reader.read

    async def later(question: Any) -> Any:
        await before()
        return await read(question)

    monkeypatch.setattr(reader, "read", later)


async def kept_by_counters(house: House) -> bytes:
    """All that the store of keys has, open."""
    seals = Sealer([house.exchange._sealer.keyed_hash("seal of answers", b"")])
    records: dict[bytes, bytes] = {}
    for key in await house.exchange.link.call("KEYS", "*:keys"):
        records |= await house.exchange.link.call("HGETALL", key)
    return b"".join(seals.open(record[17:], name) for name, record in records.items())


@DOORS
async def test_it_is_given_again_byte_for_byte(
    house: House, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    body = await body_of(house, door)
    status, first, replayed = await given(house, door, body)
    assert (status, replayed) == (200, None)
    assert msgspec.json.decode(first)["redirect_url"] == URL
    kept = await kept_by_counters(house)
    assert len(kept) > 100
    assert b"a.example" not in kept
    # a ledger that takes its time changes nothing
    reading_with(house, monkeypatch, lambda: asyncio.sleep(0.2))
    for _ in range(2):
        assert await given(house, door, body) == (200, first, "true")
    assert len(await house.seen("a-co", "post")) == 1


@DOORS
async def test_a_ledger_that_is_away_is_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    """An answer without its link would be another answer to the same request."""
    body = await body_of(house, door)
    _, first, _ = await given(house, door, body)

    async def gone() -> None:
        raise away()

    with monkeypatch.context() as meanwhile:
        reading_with(house, meanwhile, gone)
        status, told, replayed = await given(house, door, body)
        assert (status, b"ledger_unavailable" in told, replayed) == (503, True, None)
    assert await given(house, door, body) == (200, first, "true")
    assert len(await house.seen("a-co", "post")) == 1
    assert house.exchange.idempotency.outcomes[("replayed",)] == 1


async def test_an_answer_without_a_link_needs_no_ledger(
    open_doors: OpenDoors, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_doors(campaign={"fields": CAMPAIGN["fields"]})
    _, first, _ = await given(house, "/direct", DIRECT)

    async def gone() -> None:
        raise away()

    reading_with(house, monkeypatch, gone)
    assert await given(house, "/direct", DIRECT) == (200, first, "true")
