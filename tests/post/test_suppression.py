"""A lead that stands in a suppression list is offered to nobody, and is on record as refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auction.ledger.engine import open_engine
from auction.market.fields import compile_field
from auction.market.model import FieldSpec
from auction.sealers import prints_of
from auction.suppression.loading import Way, gather, store, value_reader
from tests.house import PERSON, House

LISTS = [{"id": "dnc", "fields": ["phone"]}]
ORDERS = [{"id": "a", "buyer": "a-co", "caps": [{"leads": 1, "per": "day"}]}]
MANNERS = {"a-co": {"bid": {"price": 30}}}
Open = Callable[..., Any]


async def load(house: House, *phones: str, way: Way = "replace") -> None:
    """Fills the list, and waits until the house has noticed."""
    settings = house.exchange.settings
    engine = open_engine(settings.ledger_url)
    try:
        read = value_reader(
            prints_of(settings, engine), compile_field(FieldSpec(name="x", type="phone")), "sha256"
        )
        store(engine, "dnc", "sha256", gather(phones, read), way, 1)
    finally:
        engine.dispose()
    await house.exchange.shelf.refresh()


async def test_a_suppressed_lead_is_refused_before_anybody_sees_it(open_test_house: Open) -> None:
    house: House = await open_test_house(ORDERS, MANNERS, suppression_lists=LISTS)
    await load(house, "+1 512 555 0142", "512-555-0199")
    ping_id = (await house.ping())["ping_id"]
    answer = await house.sell(ping_id)
    assert (answer["status"], answer["reason"]) == ("rejected", "suppressed")
    assert await house.seen("a-co", "post") == []
    assert await house.sell(ping_id) == answer
    _, lead = await house.get(f"/leads/{answer['lead_id']}")
    assert (lead["status"], lead["reason"]) == ("rejected", "suppressed")
    assert lead["history"][-1]["reason"] == "suppressed"
    # its place is free again, for somebody who may be called
    other = await house.sell((await house.ping(sub_id="other"))["ping_id"], phone="512-555-0143")
    assert other["status"] == "sold"
    assert house.exchange.shelf.hits == 1


async def test_a_list_is_followed_and_a_direct_lead_is_looked_up_too(open_sqlite_house: Open) -> None:
    house: House = await open_sqlite_house(ORDERS, MANNERS, suppression_lists=LISTS)
    body = {"campaign": "solar", "lead": {"state": "TX", **PERSON}}
    await load(house, PERSON["phone"])
    assert (await house.post("/direct", body))[1]["reason"] == "suppressed"
    await load(house, PERSON["phone"], way="remove")
    assert (await house.post("/direct", body))[1]["status"] == "sold"


async def test_a_list_of_another_campaign_says_nothing(open_sqlite_house: Open) -> None:
    roofing = {"id": "roofing", "fields": [{"name": "phone", "type": "phone", "required": "post"}]}
    lists = [{"id": "dnc", "fields": ["phone"], "campaigns": ["roofing"]}]
    house: House = await open_sqlite_house(ORDERS, MANNERS, suppression_lists=lists, more_campaigns=[roofing])
    await load(house, PERSON["phone"])
    assert (await house.sell((await house.ping())["ping_id"]))["status"] == "sold"
