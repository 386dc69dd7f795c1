"""Offers that go wrong on their way: nothing is sold twice, nobody is offered what is not his any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from auction.post import offering
from tests.faults.breaking import apply_to, buyer, http
from tests.house import House

Open = Callable[..., Awaitable[House]]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offering, "RETRY_AFTER_S", (0.0, 0.0))


def order(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "buyer": f"{name}-co", **more}


def bids(**prices: float) -> dict[str, Any]:
    return {f"{name}-co": {"bid": {"price": price}} for name, price in prices.items()}


async def test_a_buyer_that_took_the_lead_and_went_away_is_not_taken_for_a_refusal(
    open_sqlite_house: Open,
) -> None:
    """P1: the answer was lost, and then nothing listens: the first request may still have been a sale."""

    def takes_it_and_goes(_: int, server: asyncio.Server) -> None:
        server.close()

    async with buyer(takes_it_and_goes) as (url, seen):
        terms = {"a-co": {"post_url": url, "idempotent": True}}
        house = await open_sqlite_house([order("a"), order("b")], bids(a=30, b=20), buyers=terms)
        answer = await house.sell((await house.ping())["ping_id"])
    assert len(seen) == 1
    assert answer["status"] == "pending"
    assert await house.seen("b-co", "post") == []


@pytest.mark.parametrize("status", ["429 Too Many Requests", "401 Unauthorized", "404 Not Found"])
async def test_a_repetition_turned_away_at_the_door_says_nothing_of_the_first(
    open_sqlite_house: Open, status: str
) -> None:
    """P1: a limiter (or a gateway that lost its backend) never saw what the first request did."""

    def lost_then_turned_away(nth: int, _: asyncio.Server) -> bytes | None:
        return http(status) if nth else None

    async with buyer(lost_then_turned_away) as (url, seen):
        terms = {"a-co": {"post_url": url, "idempotent": True}}
        house = await open_sqlite_house([order("a"), order("b")], bids(a=30, b=20), buyers=terms)
        answer = await house.sell((await house.ping())["ping_id"])
    assert len(seen) == 3
    assert answer["status"] == "pending"
    assert await house.seen("b-co", "post") == []


@pytest.mark.parametrize(("said", "buyers"), [("accepted", ["a-co"]), ("rejected", ["b-co"])])
async def test_a_repetition_that_the_buyer_answers_settles_it(
    open_sqlite_house: Open, said: str, buyers: list[str]
) -> None:
    def lost_then_answered(nth: int, _: asyncio.Server) -> bytes | None:
        return http("200 OK", f'{{"status":"{said}"}}') if nth else None

    async with buyer(lost_then_answered) as (url, seen):
        terms = {"a-co": {"post_url": url, "idempotent": True}}
        house = await open_sqlite_house([order("a"), order("b")], bids(a=30, b=20), buyers=terms)
        answer = await house.sell((await house.ping())["ping_id"])
    assert len(seen) == 2
    assert answer["buyers"] == buyers


async def test_a_worker_that_is_fenced_while_it_connects_sends_nothing(open_sqlite_house: Open) -> None:
    """P1: between asking the lease and the first byte a machine may sleep for as long as it likes."""
    house = await open_sqlite_house([order("a")], bids(a=30), settings={"post_wait_ms": 200})
    offer, lease = await house.ping(), house.exchange.lease
    stood: list[str] = []

    async def slept(worker: str) -> bool:
        """It stands when it is asked, and not any more once the connection is open."""
        stood.append(worker)
        if len(stood) == 2:  # the first asks in whose name the lead is taken
            lease.end()
        return len(stood) <= 2

    lease.wait = slept  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="post_in_progress"):
        await house.sell(offer["ping_id"])
    assert len(stood) == 3
    assert await house.seen("a-co", "post") == []


@pytest.mark.parametrize("change", ["removed", "paused", "moved"])
async def test_a_runner_up_whose_order_changed_hands_since_the_ping_is_not_offered_the_lead(
    open_sqlite_house: Open, change: str
) -> None:
    """P2: a market that does not have the order does not have its caps, nor would its buyer's be looked at."""
    orders = [order("a"), order("b"), order("c", buyer="b-co")]
    manners = {"a-co": {"bid": {"price": 30}, "post": {"accept": 0}}, "b-co": {"bid": {"price": 20}}}
    terms = {"b-co": {"caps": [{"leads": 1, "per": "day"}]}}
    house = await open_sqlite_house(orders[:2], manners, buyers=terms)
    offer = await house.ping()
    changed = {
        "removed": [orders[0], orders[2]],
        "paused": [orders[0], {**orders[1], "paused": True}, orders[2]],
        "moved": [orders[0], {**orders[1], "buyer": "a-co"}, orders[2]],
    }[change]
    await apply_to(house, changed, buyers=terms)
    answer = await house.sell(offer["ping_id"])
    assert answer["status"] == "rejected"
    assert await house.seen("b-co", "post") == []


async def test_a_winner_that_is_paused_after_it_won_still_gets_its_lead(open_sqlite_house: Open) -> None:
    """The place is held and the seller was told the price: a pause is for pings to come."""
    house = await open_sqlite_house([order("a")], bids(a=30))
    offer = await house.ping()
    await apply_to(house, [order("a", paused=True)])
    assert (await house.sell(offer["ping_id"]))["status"] == "sold"


async def test_a_mistake_in_one_offer_costs_no_other(open_sqlite_house: Open) -> None:
    """P1, P4: two buyers share the lead, and one offer fails in our own hands: a field changed its type since."""
    auction = {"mode": "shared", "max_buyers": 2}
    manners = {"a-co": {"bid": {"price": 30}, "post": {"latency_ms": 50}}, "b-co": {"bid": {"price": 20}}}
    house = await open_sqlite_house([order("a"), order("b")], manners, auction=auction)
    offer = await house.ping(lead={"state": "TX", "bill": 100})
    fields: list[dict[str, Any]] = [
        {"name": "state", "type": "us_state", "required": "ping"},
        {"name": "bill", "type": "text", "ping": True},
        {"name": "first_name", "type": "text", "required": "post", "pii": True},
        {"name": "phone", "type": "phone", "required": "post", "pii": True},
    ]
    choosy = order("b", filter={"field": "bill", "starts_with": "1"})
    await apply_to(house, [order("a"), choosy], auction=auction, campaign={"fields": fields})
    answer = await house.sell(offer["ping_id"])
    assert (answer["status"], answer["buyers"]) == ("sold", ["a-co"])
    assert await house.sell(offer["ping_id"]) == answer


async def test_a_runner_up_is_not_offered_the_lead_when_its_bid_has_expired(open_sqlite_house: Open) -> None:
    """The winner took its time to say no; meanwhile the time that the runner-up stands by its bid has passed."""
    houses: list[House] = []

    def slow_no(_: int, __: asyncio.Server) -> bytes:
        houses[0].clock.move(20_000)
        return http("200 OK", '{"status":"rejected","reason":"no"}')

    async with buyer(slow_no) as (url, _):
        manners = {**bids(a=30), "b-co": {"bid": {"price": 20, "expires_in": 10}}}
        house = await open_sqlite_house([order("a"), order("b")], manners, buyers={"a-co": {"post_url": url}})
        houses.append(house)
        answer = await house.sell((await house.ping())["ping_id"])
    assert (answer["status"], answer["reason"]) == ("rejected", "no")
    assert await house.seen("b-co", "post") == []
