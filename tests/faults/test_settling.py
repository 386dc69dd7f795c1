"""Stores that fail in the middle of a sale: what a buyer took is written, answered, and answered again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import pytest

from auction.ledger.lead_queries import find_lead_by_ping, sales_of
from auction.market.market import TradedOrder
from auction.post import book
from tests.faults.breaking import AwayAt, CountersAwayAt, eventually
from tests.house import PERSON, House

Open = Callable[..., Awaitable[House]]
CAPS = [{"leads": 1, "per": "day"}]


def order(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "buyer": f"{name}-co", **more}


def bids(**prices: float) -> dict[str, Any]:
    return {f"{name}-co": {"bid": {"price": price}} for name, price in prices.items()}


def traded(house: House, order_id: str) -> TradedOrder:
    return house.exchange.floor.market.orders[order_id]


async def used(house: House, order_id: str) -> int:
    """What is counted in the order's first cap."""
    one = traded(house, order_id)
    return (await house.exchange.counters.peek(one.buyer_id, one.caps, house.clock.now_ms()))[0][1]


async def sold_to(house: House, ping_id: str) -> list[str]:
    """Whom the ledger says that the lead of this ping was sold to."""

    def read(conn: Any) -> list[str]:
        lead = find_lead_by_ping(conn, ping_id)
        return [] if lead is None else [sale.buyer_id for sale in sales_of(conn, lead.lead_id)]

    return await house.exchange.reader.read(read)


@pytest.mark.parametrize("written", [False, True])
async def test_a_ledger_that_fails_between_two_offers_ends_the_sale_with_what_was_sold(
    open_sqlite_house: Open, written: bool
) -> None:
    """P1, P4: a has the lead already, b refused it, and the intent to offer it to c cannot be written."""
    manners = {**bids(a=30, c=10), "b-co": {"bid": {"price": 20}, "post": {"accept": 0}}}
    orders = [order("a"), order("b"), order("c")]
    house = await open_sqlite_house(orders, manners, auction={"mode": "shared", "max_buyers": 2})
    posts: Any = house.exchange.posts
    posts.book._writer = AwayAt(posts.book._writer, "add_offers", written=written)
    offer = await house.ping()
    answer = await house.sell(offer["ping_id"])
    assert (answer["status"], answer["buyers"], answer["payout"]) == ("sold", ["a-co"], 30)
    assert await sold_to(house, offer["ping_id"]) == ["a-co"]
    assert await house.seen("c-co", "post") == [], "an intent that may not be durable is not acted on"
    assert await house.sell(offer["ping_id"]) == answer


async def test_a_settlement_that_was_written_though_nobody_said_so_is_answered(
    open_sqlite_house: Open,
) -> None:
    """P4, P5: the commit's answer was lost; to settle again is impossible, because it is settled."""
    house = await open_sqlite_house([order("a", caps=CAPS)], bids(a=30))
    posts: Any = house.exchange.posts
    posts.book._writer = AwayAt(posts.book._writer, "settle", written=True)
    offer = await house.ping()
    answer = await house.sell(offer["ping_id"])
    assert answer["status"] == "sold"
    assert await house.sell(offer["ping_id"]) == answer
    assert await used(house, "a") == 1


async def test_a_lead_whose_settlement_failed_is_settled_when_the_ledger_is_back(
    open_sqlite_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1, P4: the buyer has the lead. The seller hears 503 now, and what became of it when it asks again."""
    monkeypatch.setattr(book, "SETTLE_TRIES", 1)
    house = await open_sqlite_house([order("a", caps=CAPS)], bids(a=30))
    posts: Any = house.exchange.posts
    posts.book._writer = AwayAt(posts.book._writer, "settle", times=2)
    offer = await house.ping()
    status, refused = await house.post("/post", {"ping_id": offer["ping_id"], "lead": PERSON})
    assert (status, refused["code"]) == (503, "ledger_unavailable")

    async def settled() -> bool:
        return await sold_to(house, offer["ping_id"]) == ["a-co"]

    await eventually(settled)
    assert (await house.sell(offer["ping_id"]))["payout"] == 30
    assert len(await house.seen("a-co", "post")) == 1
    assert await used(house, "a") == 1


async def test_a_repeat_gets_its_answer_though_the_counters_did_not_hear_of_it(
    open_sqlite_house: Open,
) -> None:
    """P5: the lead is sold and durable, and only the claim on its ping was left standing."""
    house = await open_sqlite_house([order("a")], bids(a=30))
    posts: Any = house.exchange.posts
    posts.claiming._counters = CountersAwayAt(posts.claiming._counters, "finish")
    offer = await house.ping()
    answer = await house.sell(offer["ping_id"])
    began_s = perf_counter()
    assert await house.sell(offer["ping_id"]) == answer
    assert perf_counter() - began_s < 8, "not only after the wait for a post in progress"
    body = {"ping_id": offer["ping_id"], "lead": {**PERSON, "first_name": "Bob"}}
    status, refused = await house.post("/post", body)
    assert (status, refused["code"]) == (409, "used_ping")


async def test_a_place_that_was_kept_though_nobody_said_so_is_given_back(open_sqlite_house: Open) -> None:
    """The runner-up's place: taken, but never offered. Else it would be lost to the cap for good."""
    manners = {"a-co": {"bid": {"price": 30}, "post": {"accept": 0}}, **bids(b=20)}
    house = await open_sqlite_house([order("a"), order("b", caps=CAPS)], manners)
    offering: Any = house.exchange.posts._offering
    counters = offering._counters

    class KeepsAndSaysNothing:
        """Of the second order alone: the first has its place."""

        def __getattr__(self, name: str) -> Any:
            return getattr(counters, name)

        def keep(self, place: Any, now_ms: int) -> Any:
            broken = counters if place.order_id == "a" else CountersAwayAt(counters, "keep", done=True)
            return broken.keep(place, now_ms)

    offering._counters = KeepsAndSaysNothing()
    offer = await house.ping()
    assert (await house.sell(offer["ping_id"]))["status"] == "rejected"
    assert await used(house, "b") == 0


@pytest.mark.parametrize(("step", "accept"), [("sold", 1), ("release", 0)])
async def test_a_place_of_a_settled_lead_is_told_when_the_counters_are_back(
    open_sqlite_house: Open, step: str, accept: int
) -> None:
    """Refused now (a full memory, a busy server), and not lost with it: said again until it is done."""
    house = await open_sqlite_house(
        [order("a", caps=CAPS)], {"a-co": {"bid": {"price": 30}, "post": {"accept": accept}}}
    )
    offering: Any = house.exchange.posts._offering
    offering._counters = CountersAwayAt(offering._counters, step, times=2)
    offer = await house.ping()
    assert (await house.sell(offer["ping_id"]))["status"] == ("sold" if accept else "rejected")

    async def told() -> bool:
        return house.exchange.posts.steps_owed == 0

    await eventually(told)
    look = await house.exchange.counters.look("a-co", [], house.clock.now_ms())
    assert look.kept == {}
    assert await used(house, "a") == accept
