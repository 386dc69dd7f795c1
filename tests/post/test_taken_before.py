"""A request under a key whose lead the ledger has by another ping: the same answer, and no place is lost or kept for
nothing. On both databases: the key is theirs to know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from auction.counters.answers import KEPT
from auction.counters.counters import Place
from auction.errors import SellerError
from auction.market.market import TradedSeller
from auction.ping.offer import PingRequest
from auction.post.answer import PostRequest
from tests.house import PERSON, House, open_house

ORDERS = [{"id": "a", "buyer": "a-co", "price": {"fixed": 30}, "caps": [{"leads": 2, "per": "day"}]}]
KEY, BODY = "k", b"the same body"


@pytest.fixture
async def house(tmp_path: Path, emptied_valkey: str, ledger_url: str) -> AsyncIterator[House]:
    """One order that takes two leads a day."""
    async with open_house(tmp_path, emptied_valkey, ledger_url, ORDERS) as house:
        yield house
        assert house.app.bugs == 0


def seller_of(house: House) -> TradedSeller:
    return house.exchange.floor.market.sellers["acme"]


def keyed(house: House) -> str:
    """What the key makes of the ping's id of a direct lead."""
    return house.exchange.posts.keyed(f"acme:{KEY}".encode()).hex()[:32]


async def post(house: House, ping_id: str, body: bytes = BODY) -> dict[str, Any]:
    """The keyed request, sold by the offer of this ping."""
    request = PostRequest(ping_id, PERSON, body, keyed=keyed(house))
    answer: dict[str, Any] = msgspec.json.decode(await house.exchange.posts.post(seller_of(house), request))
    return answer


async def used(house: House) -> int:
    """Places that the cap counts, sold and held."""
    order = house.exchange.floor.market.orders["a"]
    ((_, count, _),) = await house.exchange.counters.peek("a-co", order.caps, house.clock.now_ms())
    return count


async def two_pings(house: House) -> tuple[str, str]:
    first, second = [(await house.ping(lead={"state": "TX", "bill": bill}))["ping_id"] for bill in (1, 2)]
    assert await used(house) == 2
    return first, second


async def test_the_offer_of_a_ping_that_its_seller_knows_stands_again(house: House) -> None:
    first, second = await two_pings(house)
    sold = await post(house, first)
    assert (sold["status"], sold["ping_id"]) == ("sold", first)
    assert await post(house, second) == sold
    assert await used(house) == 2, "its place is held on"
    again = await house.ping(lead={"state": "TX", "bill": 2})
    assert again["ping_id"] == second, "an equal ping is offered the same"
    other = await house.sell(second, first_name="Bob", phone="512-555-0143")
    assert (other["status"], other["ping_id"]) == ("sold", second)
    assert await used(house) == len(await house.seen("a-co", "post")) == 2


async def test_so_it_does_where_the_key_comes_with_another_body(house: House) -> None:
    first, second = await two_pings(house)
    await post(house, first)
    with pytest.raises(SellerError) as refused:
        await post(house, second, b"another body")
    assert (refused.value.status, refused.value.code) == (409, "used_ping")
    assert (await house.sell(second))["status"] == "sold"


async def direct(house: House, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The keyed request, auctioned anew: its lead came into the ledger after it had looked there."""

    async def unseen(*_: Any) -> None:
        return None

    monkeypatch.setattr(house.exchange.posts.claiming, "earlier", unseen)
    lead = {"state": "TX", "bill": 9, **PERSON}
    request = PingRequest("solar", lead, buyer="a-co")
    _, answer = await house.exchange.directs.direct(seller_of(house), request, BODY, 0.0, KEY)
    assert answer is not None
    known: dict[str, Any] = msgspec.json.decode(answer)
    return known


async def test_the_places_of_a_direct_lead_are_given_back_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = await post(house, (await house.ping())["ping_id"])
    assert await direct(house, monkeypatch) == sold
    assert await used(house) == 1
    assert (await house.ping(lead={"state": "TX", "bill": 3}))["status"] == "offer"


async def test_but_one_that_somebody_keeps_is_not(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same request once more, that came further: its offer is out."""
    sold = await post(house, (await house.ping())["ping_id"])
    order = house.exchange.floor.market.orders["a"]
    kept = Place("a-co", "a", keyed(house), 30_000_000, order.caps)
    assert await house.exchange.counters.keep(kept, house.clock.now_ms()) == KEPT
    assert await direct(house, monkeypatch) == sold
    assert await used(house) == 2
    assert await house.exchange.counters.sold(kept, house.clock.now_ms(), 30_000_000)
