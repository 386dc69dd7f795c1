"""What an adversarial reading found, and is mended: each was broken once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from auction.cli.explain import explained
from auction.ledger.lead_queries import find_lead_by_ping
from tests.faults.breaking import AwayAt, apply_to, buyer, http
from tests.house import PERSON, PING, House

Open = Callable[..., Awaitable[House]]


def order(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "buyer": f"{name}-co", **more}


def bids(**prices: float) -> dict[str, Any]:
    return {f"{name}-co": {"bid": {"price": price}} for name, price in prices.items()}


async def sell(house: House, number: int) -> str:
    """One more lead, of another person: the status of its ping or post."""
    offer = await house.ping(sub_id=str(number))
    if offer["status"] == "no_bid":
        return "no_bid"
    return str((await house.sell(offer["ping_id"], phone=f"512-555-{number:04d}"))["status"])


@pytest.mark.parametrize("change", ["added", "time zone"])
async def test_a_cap_counts_what_was_sold_in_its_window_before_it_was_written(
    open_sqlite_house: Open, change: str
) -> None:
    """Two are sold today. The operator says: two a day (or: by the clock of Chicago, where it is the same day)."""
    two = [{"leads": 2, "per": "day"}]
    before, after = {
        "added": (order("a"), order("a", caps=two)),
        "time zone": (order("a", caps=two), order("a", caps=two, timezone="America/Chicago")),
    }[change]
    house = await open_sqlite_house([before], bids(a=30))
    assert [await sell(house, number) for number in range(2)] == ["sold", "sold"]
    await apply_to(house, [after])
    assert await sell(house, 3) == "no_bid"


async def test_a_spend_cap_that_a_dear_bid_found_full_has_room_for_a_cheap_one(
    open_sqlite_house: Open,
) -> None:
    """Also in the second after the dear one was refused; and where not even the floor fits, nobody is asked."""
    capped = order("a", caps=[{"spend": 60, "per": "day"}])
    house = await open_sqlite_house([capped], bids(a=50), auction={"floor": 8})
    assert (await house.ping(sub_id="1"))["payout"] == 50
    refused = await house.ping(sub_id="2")
    assert (refused["status"], refused["reason"]) == ("no_bid", "caps_full")
    await house.change_manner("a-co", {"bid": {"price": 9}})
    assert (await house.ping(sub_id="3"))["payout"] == 9
    assert (await house.ping(sub_id="4"))["reason"] == "caps_full"
    assert (await house.ping(sub_id="5"))["reason"] == "no_eligible_order"
    assert len(await house.seen("a-co", "ping")) == 4


async def test_a_repeated_direct_lead_is_sold_once(open_sqlite_house: Open) -> None:
    """The answer was lost, so the seller sends the same request again, with the same key."""
    house = await open_sqlite_house([order("a")], bids(a=30))
    lead = {**PING, "lead": {**PING["lead"], **PERSON}}
    first = await house.post("/direct", lead, **{"idempotency-key": "k1"})
    assert await house.post("/direct", lead, **{"idempotency-key": "k1"}) == first
    assert len(await house.seen("a-co", "post")) == 1
    other = {**lead, "lead": {**lead["lead"], "first_name": "Bob"}}
    status, answer = await house.post("/direct", other, **{"idempotency-key": "k1"})
    assert (status, answer["code"]) == (409, "idempotency_conflict")
    assert (await house.post("/direct", other, **{"idempotency-key": "k2"}))[1]["status"] == "sold"
    assert (await house.post("/direct", lead, **{"idempotency-key": "k" * 129}))[0] == 422


async def test_direct_leads_with_one_key_at_once_are_one_sale(open_sqlite_house: Open) -> None:
    manners = {"a-co": {"bid": {"price": 30}, "post": {"latency_ms": 100}}}
    house = await open_sqlite_house([order("a", caps=[{"leads": 1, "per": "day"}])], manners)
    lead = {**PING, "lead": {**PING["lead"], **PERSON}}
    answers = await asyncio.gather(
        *(house.post("/direct", lead, **{"idempotency-key": "k1"}) for _ in range(10))
    )
    assert len(await house.seen("a-co", "post")) == 1
    sold = [answer for status, answer in answers if status == 200]
    assert sold
    assert all(answer == sold[0] for answer in sold)
    assert {status for status, _ in answers} <= {200, 409}
    assert (await house.post("/direct", lead, **{"idempotency-key": "k1"}))[1] == sold[0]


async def test_a_direct_lead_that_could_not_be_taken_gives_its_places_back(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a", caps=[{"leads": 1, "per": "day"}])], bids(a=30))
    posts: Any = house.exchange.posts
    posts.book._writer = AwayAt(posts.book._writer, "take_lead")
    lead = {**PING, "lead": {**PING["lead"], **PERSON}}
    assert (await house.post("/direct", lead))[0] == 503
    status, answer = await house.post("/direct", lead)
    assert (status, answer["status"]) == (200, "sold")


@pytest.mark.parametrize("said", ["reason", "redirect_url"])
async def test_what_a_buyer_says_of_a_person_does_not_lie_open_in_the_ledger(
    open_sqlite_house: Open, tmp_path: Path, said: str
) -> None:
    """A buyer may well repeat what it was sent: "duplicate of +15125550142", or a link with the phone in it."""
    answers = {
        "reason": '{"status":"rejected","reason":"duplicate of +15125550142"}',
        "redirect_url": '{"status":"accepted","redirect_url":"https://a.example/?phone=+15125550142"}',
    }
    async with buyer(lambda _, __: http("200 OK", answers[said])) as (url, _):
        house = await open_sqlite_house([order("a")], bids(a=30), buyers={"a-co": {"post_url": url}})
        await house.sell((await house.ping())["ping_id"])
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))  # noqa: ASYNC240
    assert b"5125550142" not in kept


async def test_the_hash_of_a_body_does_not_tell_the_person(open_sqlite_house: Open) -> None:
    """All but the phone is known (the ping id, a first name): ten thousand guesses find it, as a thief would."""
    house = await open_sqlite_house([order("a")], bids(a=30))
    offer = await house.ping()
    await house.sell(offer["ping_id"])
    lead = await house.exchange.reader.read(lambda conn: find_lead_by_ping(conn, offer["ping_id"]))
    assert lead is not None
    for last in range(10_000):
        guess = {"ping_id": offer["ping_id"], "lead": {**PERSON, "phone": f"512-555-{last:04d}"}}
        body = msgspec.json.encode(guess, order="sorted")
        assert hashlib.blake2b(body, digest_size=16).digest() != lead.body_hash


async def test_the_auction_of_a_changed_lead_is_explained(open_sqlite_house: Open) -> None:
    orders = [
        order("tx", filter={"field": "state", "equals": "TX"}),
        order("ca", filter={"field": "state", "equals": "CA"}),
    ]
    house = await open_sqlite_house(orders, bids(tx=30, ca=20), auction={"on_mismatch": "auction"})
    offer = await house.ping()
    await house.sell(offer["ping_id"], state="CA")
    await house.exchange.writer.flush()
    _, why = await house.exchange.reader.read(lambda conn: explained(conn, offer["ping_id"]))
    assert {one.order_id: one.reason.value for one in why} == {"tx": "filtered", "ca": "won"}


async def test_a_slow_buyer_is_awaited_as_long_as_its_auction_waits(open_sqlite_house: Open) -> None:
    """A campaign may wait for 60 seconds. Here everything is 25 times as fast."""
    manners = {"a-co": {"bid": {"price": 30}, "latency_ms": 900}}
    house = await open_sqlite_house([order("a")], manners)
    for pool in house.exchange.fanout.pools.values():
        pool.drain_ns = 200_000_000
    assert (await house.ping(tmax=2_000))["status"] == "offer"
