"""What a campaign turns away at the ping, before anybody is asked: by its filter, its lists, its duplicate rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from auction.cli.explain import explained
from auction.ledger.engine import open_engine
from auction.market.hashing import digest_of
from auction.ping.explain import Explained
from auction.reports.report import Report, Status
from tests.house import CAMPAIGN, PERSON, PING, House
from tests.post.test_suppression import load

Open = Callable[..., Any]
BY_HASH = {
    "fields": [
        *CAMPAIGN["fields"][:3],
        {"name": "phone", "type": "phone", "required": "post", "pii": True, "ping_as": "hash"},
    ]
}
SAME_PHONE = {"fields": ["phone"], "days": 30}
ORDERS: list[dict[str, Any]] = [{"id": "a", "buyer": "a-co"}, {"id": "b", "buyer": "b-co"}]
MANNERS = {"a-co": {"bid": {"price": 30}}, "b-co": {"bid": {"price": 20}}}
DAY_MS = 86_400_000
DIGEST = digest_of("phone", "+15125550142")


async def reasons(house: House, ping_id: str) -> dict[str, Explained]:
    """What `auction explain` tells of each order."""
    await house.exchange.writer.flush()
    engine = open_engine(house.exchange.settings.ledger_url)
    try:
        with engine.connect() as conn:
            return {one.order_id: one for one in explained(conn, ping_id)[1]}
    finally:
        engine.dispose()


async def ping(house: House, **lead: Any) -> dict[str, Any]:
    """A ping of this lead, in Texas unless it says otherwise."""
    return await house.ping(lead={"state": "TX", **lead})


async def sell(house: House, **lead: Any) -> dict[str, Any]:
    """A ping and its post."""
    return await house.sell((await ping(house, **lead))["ping_id"])


async def test_a_lead_that_the_campaigns_own_filter_does_not_let_through(open_sqlite_house: Open) -> None:
    inbound = {"filter": {"all": [{"field": "state", "in": ["TX"]}, {"field": "bill", "at_least": 100}]}}
    house: House = await open_sqlite_house(ORDERS, MANNERS, campaign=inbound)
    assert (await ping(house, bill=100))["status"] == "offer"
    answer = await ping(house, bill=99)
    assert (answer["status"], answer["reason"]) == ("no_bid", "filtered_inbound")
    assert len(await house.seen("a-co", "ping")) == 1
    told = await reasons(house, answer["ping_id"])
    assert {one.reason.value for one in told.values()} == {"filtered_inbound"}
    assert told["a"].said == "bill at_least 100: was 99"
    lead = {"state": "OK", "bill": 200, **PERSON}
    _, direct = await house.post("/direct", {**PING, "lead": lead})
    assert (direct["status"], direct["reason"]) == ("no_bid", "filtered_inbound")


async def test_a_lead_that_changed_is_held_against_the_filter_again(open_sqlite_house: Open) -> None:
    inbound = {"filter": {"field": "bill", "at_least": 100}}
    house: House = await open_sqlite_house(
        ORDERS, MANNERS, campaign=inbound, auction={"on_mismatch": "auction"}
    )
    ping_id = (await ping(house, bill=100))["ping_id"]
    status, problem = await house.post("/post", {"ping_id": ping_id, "lead": {"bill": 1, **PERSON}})
    assert (status, problem["code"]) == (410, "no_offer")


@pytest.mark.parametrize("phone", [DIGEST, DIGEST.upper(), "512-555-0142"])
async def test_a_suppressed_phone_is_known_by_its_hash(open_sqlite_house: Open, phone: str) -> None:
    lists = [{"id": "dnc", "fields": ["phone"]}]
    house: House = await open_sqlite_house(ORDERS, MANNERS, campaign=BY_HASH, suppression_lists=lists)
    await load(house, "+1 512 555 0142")
    answer = await ping(house, phone=phone)
    assert (answer["status"], answer["reason"]) == ("no_bid", "suppressed")
    assert {one.reason.value for one in (await reasons(house, answer["ping_id"])).values()} == {"suppressed"}
    assert await house.seen("a-co", "ping") == []
    assert (await ping(house, phone=digest_of("phone", "+15125550143")))["status"] == "offer"
    assert (await sell(house))["reason"] == "suppressed", "who says nothing at ping is found at the post"


async def test_a_list_over_a_ping_field_is_looked_up_at_ping(open_sqlite_house: Open) -> None:
    fields = [{"name": "phone", "type": "phone", "ping": True}]
    house: House = await open_sqlite_house(
        ORDERS, MANNERS, campaign={"fields": fields}, suppression_lists=[{"id": "dnc", "fields": ["phone"]}]
    )
    await load(house, "5125550142")
    assert (await house.ping(lead={"phone": "5125550142"}))["reason"] == "suppressed"
    assert (await house.ping(lead={"phone": "5125550143"}))["status"] == "offer"


async def test_a_duplicate_is_known_at_ping_by_its_hash(open_test_house: Open) -> None:
    house: House = await open_test_house(ORDERS, MANNERS, campaign={**BY_HASH, "duplicates": SAME_PHONE})
    first = await ping(house, phone=DIGEST)
    assert (await house.sell(first["ping_id"]))["status"] == "sold"
    for told in (DIGEST, "(512) 555-0142"):
        answer = await ping(house, phone=told)
        assert (answer["status"], answer["reason"]) == ("no_bid", "duplicate")
    assert (await ping(house, phone=DIGEST, bill=1))["reason"] == "duplicate"
    explained = await reasons(house, answer["ping_id"])
    assert {one.reason.value for one in explained.values()} == {"duplicate"}
    assert (await ping(house, phone="512-555-0143"))["status"] == "offer"
    assert (await sell(house))["reason"] == "duplicate", "at the post always"
    house.clock.move(30 * DAY_MS + 1)
    assert (await ping(house, phone=DIGEST))["status"] == "offer"


async def test_a_rule_that_a_ping_tells_only_a_part_of_waits_for_the_post(open_sqlite_house: Open) -> None:
    rule = {"fields": ["phone", "first_name"], "days": 30}
    house: House = await open_sqlite_house(ORDERS, MANNERS, campaign={**BY_HASH, "duplicates": rule})
    assert (await sell(house, phone=DIGEST))["status"] == "sold"
    assert (await sell(house, phone=DIGEST, bill=1))["reason"] == "duplicate"


async def test_an_order_that_bought_such_a_lead_is_not_asked_again(open_test_house: Open) -> None:
    orders = [{**ORDERS[0], "duplicates": SAME_PHONE}, ORDERS[1]]
    house: House = await open_test_house(orders, MANNERS, campaign=BY_HASH)
    assert (await sell(house, phone=DIGEST))["buyers"] == ["a-co"]
    second = await ping(house, phone=DIGEST)
    assert (await house.sell(second["ping_id"]))["buyers"] == ["b-co"]
    told = await reasons(house, second["ping_id"])
    assert (told["a"].reason.value, told["a"].family.value) == ("duplicate", "not asked")
    assert len(await house.seen("a-co", "ping")) == 1
    assert (await sell(house, phone=DIGEST, bill=1))["buyers"] == ["b-co"], "which has no such rule"
    house.clock.move(30 * DAY_MS + 1)
    assert (await sell(house, phone=DIGEST))["buyers"] == ["a-co"]


async def test_an_order_that_bought_such_a_lead_is_passed_over_at_the_post(open_test_house: Open) -> None:
    """Where the ping did not tell: its bid was the best, and the lead goes to the next in rank."""
    orders = [{**order, "duplicates": SAME_PHONE} for order in ORDERS]
    house: House = await open_test_house(orders, MANNERS)
    assert (await sell(house))["buyers"] == ["a-co"]
    second = await ping(house)
    assert second["payout"] == 30
    sold = await house.sell(second["ping_id"])
    assert (sold["buyers"], sold["payout"]) == (["b-co"], 20)
    assert [len(await house.seen(buyer, "post")) for buyer in ("a-co", "b-co")] == [1, 1]
    third = await sell(house)
    assert (third["status"], third["reason"]) == ("rejected", "duplicate")
    assert (await house.sell((await ping(house))["ping_id"], phone="512-555-0143"))["buyers"] == ["a-co"]
    _, lead = await house.get(f"/leads/{sold['lead_id']}")
    assert lead["status"] == "sold"


async def test_of_two_such_leads_at_once_an_order_gets_one(open_test_house: Open) -> None:
    orders = [{**ORDERS[0], "duplicates": SAME_PHONE}]
    house: House = await open_test_house(orders, MANNERS)
    pings = [(await ping(house, bill=bill))["ping_id"] for bill in range(6)]
    sold = await asyncio.gather(*(house.sell(one) for one in pings))
    assert sorted(one["status"] for one in sold) == ["rejected"] * 5 + ["sold"]
    assert len(await house.seen("a-co", "post")) == 1


async def test_a_test_lead_is_no_duplicate_of_a_real_one(open_sqlite_house: Open) -> None:
    house: House = await open_sqlite_house(ORDERS, MANNERS, campaign={**BY_HASH, "duplicates": SAME_PHONE})
    lead = {"state": "TX", "phone": DIGEST}
    tried = await house.ping(lead=lead, test=True)
    assert (await house.sell(tried["ping_id"]))["status"] == "sold"
    assert (await house.sell((await house.ping(lead=lead))["ping_id"]))["status"] == "sold"
    assert (await house.ping(lead=lead))["reason"] == "duplicate"
    assert (await house.ping(lead=lead, test=True))["status"] == "offer"


async def test_a_lead_that_came_back_makes_no_other_a_duplicate(open_sqlite_house: Open) -> None:
    orders = [{**ORDERS[0], "duplicates": SAME_PHONE, "returns": {"days": 3}}]
    house: House = await open_sqlite_house(orders, MANNERS, campaign=BY_HASH)
    sold = await sell(house, phone=DIGEST)
    assert (await ping(house, phone=DIGEST))["reason"] == "duplicate"
    report = Report(status=Status.RETURNED, by="operator", buyer_id=None, lead_id=sold["lead_id"])
    await house.exchange.reporting.report(report)
    assert (await sell(house, phone=DIGEST))["status"] == "sold"
