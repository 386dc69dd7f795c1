"""The machine's clock jumps by an hour while the house runs: caps hold in every window, and nothing gets stuck."""

from __future__ import annotations

from typing import Any

import pytest

from auction.reconcile.reconciling import Reconciling
from tests.house import KEY_HASH, PERSON, PING, House

HOUR_MS = 3_600_000
ORDERS: list[dict[str, Any]] = [
    {"id": "a", "buyer": "ann", "caps": [{"leads": 2, "per": "hour"}, {"leads": 5, "per": "day"}]}
]
MANNERS = {"ann": {"bid": {"price": 30}}}


@pytest.fixture
async def house(open_sqlite_house: Any) -> House:
    seller = {"id": "acme", "keys": [KEY_HASH], "rate_limit": "40/minute"}
    house: House = await open_sqlite_house(ORDERS, MANNERS, sellers=[seller])
    return house


async def sold(house: House, name: str) -> str:
    """One lead more: its status, `no_bid` where nobody had a place for it."""
    offer = await house.ping(sub_id=name)
    if offer["status"] == "no_bid":
        return "no_bid"
    return str((await house.sell(offer["ping_id"], first_name=name))["status"])


async def counted(house: House) -> list[int]:
    """What the two caps count now; and the counters are what the ledger says."""
    exchange, now_ms = house.exchange, house.clock.now_ms()
    found = await Reconciling(exchange.reader, exchange.counters, now_ms, repair=False).run(
        exchange.floor.market
    )
    assert (found.differences, found.busy) == ([], set())
    order = exchange.floor.market.orders["a"]
    return [used for _, used, _ in await exchange.counters.peek("ann", order.caps, now_ms)]


async def test_every_hour_has_its_own_places_whichever_way_the_clock_goes(house: House) -> None:
    """At 12, at 13, at 12 again, at 13 again, and on to 14: two an hour, five a day."""
    assert [await sold(house, f"noon-{number}") for number in range(3)] == ["sold", "sold", "no_bid"]
    house.clock.move(HOUR_MS)
    assert [await sold(house, f"one-{number}") for number in range(3)] == ["sold", "sold", "no_bid"]
    assert await counted(house) == [2, 4]
    house.clock.move(-HOUR_MS)
    assert await sold(house, "noon again") == "no_bid"
    assert await counted(house) == [2, 4]
    house.clock.move(HOUR_MS)
    assert await sold(house, "one again") == "no_bid"
    house.clock.move(HOUR_MS)
    assert [await sold(house, f"two-{number}") for number in range(2)] == ["sold", "no_bid"]
    assert await counted(house) == [1, 5]


async def test_an_offer_that_a_jump_ended_gives_its_place_back(house: House) -> None:
    offers = [await house.ping(sub_id=f"early-{number}") for number in range(2)]
    assert await sold(house, "no place") == "no_bid"
    house.clock.move(HOUR_MS)
    status, answer = await house.post("/post", {"ping_id": offers[0]["ping_id"], "lead": PERSON})
    assert (status, answer["code"]) == (410, "offer_expired")
    assert [await sold(house, f"late-{number}") for number in range(3)] == ["sold", "sold", "no_bid"]
    house.clock.move(-HOUR_MS)
    # by its own time this offer lives: its place was given to nobody in this hour, so it has it
    assert (await house.sell(offers[1]["ping_id"], first_name="Late"))["status"] == "sold"
    assert await counted(house) == [1, 3]


async def test_an_offer_made_before_the_clock_was_set_back_is_honoured(house: House) -> None:
    house.clock.move(HOUR_MS)
    offer = await house.ping(sub_id="ahead")
    house.clock.move(-HOUR_MS)
    assert (await house.sell(offer["ping_id"]))["status"] == "sold"
    assert [await sold(house, f"noon-{number}") for number in range(2)] == ["sold", "sold"]
    assert await counted(house) == [2, 3], (
        "a post is never before its ping: that sale is one of the next hour"
    )
    house.clock.move(HOUR_MS)
    assert [await sold(house, f"one-{number}") for number in range(2)] == ["sold", "no_bid"]
    assert await counted(house) == [2, 4]


async def test_a_rate_limit_is_that_of_its_minute(house: House) -> None:
    async def pings(many: int, name: str) -> list[int]:
        return [
            (await house.post("/ping", {**PING, "sub_id": f"{name}-{number}"}))[0] for number in range(many)
        ]

    assert await pings(42, "noon") == [200] * 40 + [429] * 2
    house.clock.move(HOUR_MS)
    assert await pings(41, "one") == [200] * 40 + [429]
    house.clock.move(-HOUR_MS)
    assert await pings(1, "noon again") == [429]
    house.clock.move(60_000)
    assert await pings(1, "later") == [200]


async def test_a_repeat_is_a_repeat_across_jumps(house: House) -> None:
    """The same lead is sold once, and its post answered the same."""
    offer = await house.ping()
    answer = await house.sell(offer["ping_id"])
    for move in (HOUR_MS, -2 * HOUR_MS):
        house.clock.move(move)
        assert await house.sell(offer["ping_id"]) == answer
    assert len(await house.seen("ann", "post")) == 1
