"""The ping and the post through a whole house: real sockets, real Valkey, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.house import PERSON, House

Open = Callable[..., Awaitable[House]]


def order(name: str, buyer: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": name, "buyer": buyer or f"{name}-co", **more}


def bids(**prices: float) -> dict[str, Any]:
    return {f"{name}-co": {"bid": {"price": price}} for name, price in prices.items()}


async def test_a_lead_is_pinged_bid_on_held_posted_and_sold(open_test_house: Open) -> None:
    house = await open_test_house([order("a"), order("b")], bids(a=30, b=20))
    offer = await house.ping()
    assert (offer["status"], offer["payout"], offer["exclusive"]) == ("offer", 30, True)
    sale = await house.sell(offer["ping_id"])
    assert (sale["status"], sale["payout"], sale["buyers"]) == ("sold", 30, ["a-co"])
    (post,) = await house.seen("a-co", "post")
    assert post["body"]["lead"] == {"state": "TX", "first_name": "Ann", "phone": "+15125550142"}
    assert post["body"]["price"] == 30
    assert await house.seen("b-co", "post") == []
    (ping,) = await house.seen("b-co", "ping")
    assert ping["body"]["lead"] == {"state": "TX"}, "a ping names nobody (P7)"


async def test_one_ping_posted_50_times_at_once_is_one_sale_and_one_offer(open_test_house: Open) -> None:
    manners = {"a-co": {"bid": {"price": 30}, "post": {"latency_ms": 100}}}
    house = await open_test_house([order("a")], manners)
    offer = await house.ping()
    answers = await asyncio.gather(*(house.sell(offer["ping_id"]) for _ in range(50)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["status"] == "sold"
    assert len(await house.seen("a-co", "post")) == 1


async def test_a_cap_of_5_is_met_exactly_by_200_at_once(open_test_house: Open) -> None:
    """With hour, day and spend caps together; the rest goes to the runner-up or is refused with the reason."""
    caps = [{"leads": 5, "per": "day"}, {"leads": 5, "per": "hour"}, {"spend": 160.0, "per": "day"}]
    orders = [order("a", caps=caps), order("b", caps=[{"leads": 20, "per": "total"}])]
    house = await open_test_house(orders, bids(a=30, b=20))

    async def one(number: int) -> tuple[str, str]:
        offer = await house.ping(sub_id=f"s{number}")
        if offer["status"] == "no_bid":
            return "no_bid", offer["reason"]
        sale = await house.sell(offer["ping_id"], phone=f"512-555-{number:04d}")
        return sale["status"], ",".join(sale.get("buyers", []))

    answers = await asyncio.gather(*(one(number) for number in range(200)))
    counted = {answer: answers.count(answer) for answer in set(answers)}
    assert counted.pop(("sold", "a-co")) == 5
    assert counted.pop(("sold", "b-co")) == 20
    assert {status for status, _ in counted} == {"no_bid"}
    assert sum(counted.values()) == 175
    assert len(await house.seen("a-co", "post")) == 5


async def test_silent_buyers_do_not_hold_up_the_others(open_test_house: Open) -> None:
    names = [f"b{n}" for n in range(10)]
    manners = {f"{name}-co": {"bid": {"price": 10 + n}} for n, name in enumerate(names)}
    for silent in ("b7", "b8", "b9"):
        manners[f"{silent}-co"]["faults"] = {"hang": 1.0}  # type: ignore[dict-item]
    house = await open_test_house([order(name) for name in names], manners)
    offer = await house.ping(tmax=800)
    assert (offer["status"], offer["payout"]) == ("offer", 16)


async def test_a_test_lead_touches_no_cap_and_no_money(open_test_house: Open) -> None:
    house = await open_test_house([order("a", caps=[{"leads": 1, "per": "day"}])], bids(a=30))
    for number in range(3):
        offer = await house.ping(test=True, sub_id=f"s{number}")
        sale = await house.sell(offer["ping_id"], phone=f"512-555-{number:04d}")
        assert (sale["status"], sale["test"]) == ("sold", True)
    offer = await house.ping()
    assert (await house.sell(offer["ping_id"]))["status"] == "sold"
    assert (await house.ping(sub_id="next"))["status"] == "no_bid"


HASHED = {
    "fields": [
        {"name": "state", "type": "us_state", "required": "ping"},
        {"name": "first_name", "type": "text", "pii": True},
        {"name": "phone", "type": "phone", "required": "post", "pii": True, "ping_as": "hash"},
    ]
}


async def test_a_hashed_field_must_be_at_the_post_what_it_was_at_the_ping(open_test_house: Open) -> None:
    house = await open_test_house([order("a")], bids(a=30), campaign=HASHED)
    offer = await house.ping(lead={"state": "TX", "phone": "(512) 555-0142"})
    (ping,) = await house.seen("a-co", "ping")
    assert ping["body"]["lead"] == {"state": "TX"}
    assert len(ping["body"]["hashed"]["phone"]) == 64
    again = await house.ping(lead={"state": "TX", "phone": "+1 512 555 0142"})
    assert again["ping_id"] == offer["ping_id"], "the same person, spelled otherwise: the same ping"
    other = await house.ping(lead={"state": "TX", "phone": "512-555-0199"})
    assert other["ping_id"] != offer["ping_id"]
    body = {"ping_id": offer["ping_id"], "lead": {**PERSON, "phone": "512-555-0143"}}
    status, answer = await house.post("/post", body)
    assert (status, answer["code"]) == (422, "ping_fields_changed")
    assert answer["errors"] == [{"field": "lead.phone", "error": "is not what was hashed in the ping"}]
    assert (await house.sell(offer["ping_id"]))["status"] == "sold"
    (post,) = await house.seen("a-co", "post")
    assert post["body"]["lead"]["phone"] == "+15125550142"


async def test_a_hashed_field_that_changed_is_auctioned_again_as_it_is(open_test_house: Open) -> None:
    house = await open_test_house(
        [order("a")], bids(a=30), campaign=HASHED, auction={"on_mismatch": "auction"}
    )
    offer = await house.ping(lead={"state": "TX", "phone": "512-555-0142"})
    assert (await house.sell(offer["ping_id"], phone="512-555-0143"))["status"] == "sold"
    first, second = (ping["body"]["hashed"]["phone"] for ping in await house.seen("a-co", "ping"))
    assert first != second
