"""Places of winners: held at the price and for the time that the offer says, and never promised before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from auction.counters.answers import Repeat
from auction.ping.offer import decode_kept_answer
from tests.house import PERSON, PING, House

Open = Callable[..., Awaitable[House]]
ONE = [{"leads": 1, "per": "day"}]


def order(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "buyer": f"{name}-co", **more}


def bids(**prices: float) -> dict[str, Any]:
    return {f"{name}-co": {"bid": {"price": price}} for name, price in prices.items()}


async def used(house: House, order_id: str) -> int:
    """What is counted in the order's first cap."""
    one = house.exchange.floor.market.orders[order_id]
    return (await house.exchange.counters.peek(one.buyer_id, one.caps, house.clock.now_ms()))[0][1]


async def test_a_place_is_held_at_the_price_that_wins_in_the_end(open_sqlite_house: Open) -> None:
    """P2: a's shared bid wins beside b's first; b turns out to be full, so a wins alone and pays more than was held."""
    manners = {
        "a-co": {"bids": [{"price": 40, "exclusive": True}, {"price": 12, "exclusive": False}]},
        **bids(b=35),
    }
    spend = [{"spend": 60.00, "per": "day"}]
    orders = [order("a", caps=spend), order("b", caps=ONE, filter={"field": "bill", "exists": False})]
    house = await open_sqlite_house(orders, manners, auction={"mode": "hybrid", "max_buyers": 2})
    first = await house.ping(sub_id="1")
    assert first["payout"] == 47
    second = await house.ping(sub_id="2")
    assert (second["payout"], second["exclusive"]) == (40, True)
    assert await used(house, "a") == 52_000_000
    assert (await house.sell(second["ping_id"]))["payout"] == 40
    assert await used(house, "a") == 52_000_000
    # Only a is asked: alone it would pay 40, and 60 is its cap.
    assert (await house.ping(sub_id="3", lead={"state": "TX", "bill": 1}))["status"] == "no_bid"


async def test_a_place_is_held_as_long_as_the_offer_that_came_of_it(open_sqlite_house: Open) -> None:
    """P3: the first mix would have stood for 10 seconds, by b's word; without b the offer stands for 60."""
    manners = {**bids(a=30), "b-co": {"bid": {"price": 20, "expires_in": 10}}}
    orders = [order("a", caps=ONE), order("b", caps=ONE)]
    house = await open_sqlite_house(orders, manners, auction={"mode": "shared", "max_buyers": 2})
    one = house.exchange.floor.market.orders["b"]
    taken = {"buyer_id": "b-co", "order_id": "b", "ping_id": "other", "price_micros": 1, "caps": one.caps}
    await house.exchange.counters.hold(place(**taken), house.clock.now_ms(), house.clock.now_ms() + 3_600_000)
    offer = await house.ping()
    assert (offer["payout"], offer["expires_in"]) == (30, 60)
    house.clock.move(50_000)
    assert (await house.ping(sub_id="2"))["status"] == "no_bid", "a's one place is held for the first ping"
    assert (await house.sell(offer["ping_id"]))["payout"] == 30


async def test_an_equal_ping_is_never_told_of_an_offer_whose_places_are_not_held(
    open_sqlite_house: Open,
) -> None:
    """P3, P5: what an equal ping on another worker would hear at any step between the first hold and the last."""
    orders = [order("a", caps=ONE), order("b", caps=ONE), order("c")]
    house = await open_sqlite_house(orders, bids(a=30, b=20, c=10))
    counters = house.exchange.counters
    for name in ("a", "b"):
        one = house.exchange.floor.market.orders[name]
        full = {
            "buyer_id": one.buyer_id,
            "order_id": name,
            "ping_id": "other",
            "price_micros": 1,
            "caps": one.caps,
        }
        await counters.hold(place(**full), house.clock.now_ms(), house.clock.now_ms() + 3_600_000)
    seller = house.exchange.floor.market.sellers["acme"]
    heard: list[asyncio.Future[Any]] = []

    class Overheard:
        """The counters, with an equal ping from elsewhere before every hold."""

        prints: bytes = b""

        def __getattr__(self, name: str) -> Any:
            step = getattr(counters, name)
            if name != "hold":
                return step

            def hold(*arguments: Any) -> Any:
                heard.append(
                    counters.admit(seller.id, None, self.prints, "equal", house.clock.now_ms(), 1_000)
                )
                return step(*arguments)

            return hold

    pings: Any = house.exchange.pings
    overheard = Overheard()
    admit = counters.admit

    def noting(seller_id: str, rate: Any, prints: bytes, *rest: Any) -> Any:
        overheard.prints = prints
        return admit(seller_id, rate, prints, *rest)

    counters.admit = noting  # type: ignore[assignment,method-assign]
    pings.holding._counters = overheard
    offer = await house.ping()
    assert offer["payout"] == 10
    told = [
        decode_kept_answer(one.answer).answer.payout
        for one in await asyncio.gather(*heard)
        if isinstance(one, Repeat)
    ]
    assert len(heard) == 3
    assert told == []
    repeat = await house.ping()
    assert (repeat["ping_id"], repeat["payout"]) == (offer["ping_id"], 10)


async def test_a_hold_outlives_its_offer_by_the_time_that_a_post_of_it_may_take(
    open_sqlite_house: Open,
) -> None:
    """P3: claimed in the last millisecond; the place must be there still when the intent has been written."""
    house = await open_sqlite_house([order("a", caps=ONE), order("b")], bids(a=30, b=20))
    offer = await house.ping()
    house.clock.move(60_000)
    posts: Any = house.exchange.posts
    writer = posts.book._writer

    class Slow:
        async def write(self, op: Any) -> Any:
            house.clock.move(4_000)
            rival = await house.ping(sub_id="rival")
            assert rival["payout"] == 20
            posts.book._writer = writer
            return await writer.write(op)

    posts.book._writer = Slow()
    assert (await house.sell(offer["ping_id"]))["payout"] == 30


async def test_a_changed_lead_is_not_sold_below_the_floor_that_the_seller_named(
    open_sqlite_house: Open,
) -> None:
    """The second auction is of the same seller, at the same floor."""
    orders = [
        order("tx", filter={"field": "state", "equals": "TX"}),
        order("ca", filter={"field": "state", "equals": "CA"}),
    ]
    house = await open_sqlite_house(orders, bids(tx=30, ca=5), auction={"on_mismatch": "auction"})
    offer = await house.ping(floor=10)
    body = {"ping_id": offer["ping_id"], "lead": {**PERSON, "state": "CA"}}
    status, answer = await house.post("/post", body)
    assert (status, answer["code"]) == (410, "no_offer")
    assert await house.seen("ca-co", "post") == []


async def test_an_offer_whose_places_were_given_back_is_not_open_any_more(open_sqlite_house: Open) -> None:
    """P3: a changed lead nobody wants. The first offer's places are gone, so the first offer is."""
    orders = [order("tx", caps=ONE, filter={"field": "state", "equals": "TX"})]
    house = await open_sqlite_house(orders, bids(tx=30), auction={"on_mismatch": "auction"})
    offer = await house.ping()
    changed = {"ping_id": offer["ping_id"], "lead": {**PERSON, "state": "CA"}}
    assert (await house.post("/post", changed))[0] == 410
    rival = await house.ping(sub_id="rival")
    assert rival["payout"] == 30
    await house.exchange.writer.flush()  # the log of pings knows it now
    status, answer = await house.post("/post", {"ping_id": offer["ping_id"], "lead": PERSON})
    assert (status, answer["code"]) == (410, "no_offer")
    again = await house.ping()
    assert again["ping_id"] != offer["ping_id"]


async def test_a_ping_like_one_that_was_posted_is_a_new_auction(open_sqlite_house: Open) -> None:
    """P5: two people in one state are two leads. The first one's offer is used; it cannot serve the second."""
    house = await open_sqlite_house([order("a")], bids(a=30))
    first = await house.ping()
    assert (await house.ping())["ping_id"] == first["ping_id"], "while it lives, the same offer"
    assert (await house.sell(first["ping_id"]))["status"] == "sold"
    second = await house.ping()
    assert second["ping_id"] != first["ping_id"]
    assert (await house.sell(second["ping_id"], first_name="Bob", phone="512-555-0143"))["status"] == "sold"


@pytest.mark.parametrize("test", [False, True])
async def test_a_test_ping_does_not_feel_a_full_cap(open_sqlite_house: Open, test: bool) -> None:
    """Test leads touch no cap, so no cap touches them: also not one that is known to be full."""
    house = await open_sqlite_house([order("a", caps=ONE)], bids(a=30))
    await house.ping(sub_id="1")
    assert (await house.ping(sub_id="2"))["status"] == "no_bid"
    status, answer = await house.post("/ping", {**PING, "test": test, "sub_id": "3"})
    assert (status, answer["status"]) == (200, "offer" if test else "no_bid")


async def test_a_clock_that_is_set_back_does_not_keep_an_order_full(open_sqlite_house: Open) -> None:
    """What was noted as full for a second is not full for the hour that the clock lost."""
    manners = {"a-co": {"bid": {"price": 30}, "post": {"accept": 0}}}
    house = await open_sqlite_house([order("a", caps=[{"leads": 1, "per": "total"}])], manners)
    offer = await house.ping(sub_id="1")
    assert (await house.ping(sub_id="2"))["reason"] == "caps_full"
    assert (await house.sell(offer["ping_id"]))["status"] == "rejected"
    house.clock.move(-3_600_000)
    assert (await house.ping(sub_id="3"))["status"] == "offer"


def place(**facts: Any) -> Any:
    """A place as the counters take it."""
    from auction.counters.counters import Place

    return Place(**facts)
