"""Counters and ledger compared while leads are sold: nothing in flight is a difference, and what is one is mended."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from msgspec import structs

from auction.counters.answers import Kept
from auction.counters.counters import Place
from auction.ledger.leads import settle
from auction.ledger.records import NewOffer, NewSale, OfferResult, Settlement
from auction.ledger.taking import take_lead, void_lead
from auction.reconcile import comparing, reconciling
from auction.reconcile.reconciling import Outcome, Reconciling
from tests.house import NOON_MS, House
from tests.ledger.rows import a_lead
from tests.valkeys import tell

CAPS = [{"leads": 60, "per": "day"}, {"spend": 1_500, "per": "month"}, {"leads": 60, "per": "hour"}]
ORDERS: list[dict[str, Any]] = [
    {"id": "a", "buyer": "ann", "price": {"fixed": 20}, "caps": CAPS},
    {"id": "b", "buyer": "ann", "price": {"fixed": 20}, "caps": CAPS[:2]},
    {"id": "c", "buyer": "cid", "price": {"fixed": 20}, "caps": CAPS[1:]},
]
BUYERS = {"ann": {"caps": [{"leads": 100, "per": "month"}]}}
PRICE = 20_000_000


async def compared(house: House, *, repair: bool = False, all_open: bool = False) -> Outcome:
    exchange = house.exchange
    one = Reconciling(
        exchange.reader, exchange.counters, house.clock.now_ms(), repair=repair, all_open=all_open
    )
    return await one.run(exchange.floor.market)


class Lead:
    """One lead's way through both stores, step by step: any step may be the last that its worker did."""

    def __init__(self, house: House, number: int, order_id: str) -> None:
        order = house.exchange.floor.market.orders[order_id]
        self.house = house
        self.number = f"{order_id}-{number}"
        self.order_id = order_id
        self.buyer_id = order.buyer_id
        self.place = Place(order.buyer_id, order_id, f"ping-{self.number}", PRICE, order.caps)

    async def take(self) -> None:
        lead = a_lead(self.number, created_at_ms=self.house.clock.now_ms())
        offer = NewOffer(
            order_id=self.order_id,
            buyer_id=self.buyer_id,
            price_micros=PRICE,
            payout_micros=PRICE // 2,
            exclusive=False,
        )
        await self.house.exchange.writer.write(lambda conn: take_lead(conn, lead, [offer]))

    async def void(self) -> None:
        await self.house.exchange.writer.write(lambda conn: void_lead(conn, f"lead-{self.number}", "w1"))

    async def keep(self) -> bool:
        return isinstance(
            await self.house.exchange.counters.keep(self.place, self.house.clock.now_ms()), Kept
        )

    async def settle(self, state: Any) -> None:
        answer: Any = {"sold": "accepted", "rejected": "rejected", "pending": "unknown"}[state]
        now_ms = self.house.clock.now_ms()
        sale = NewSale(
            place=1,
            order_id=self.order_id,
            buyer_id=self.buyer_id,
            price_micros=PRICE,
            payout_micros=PRICE // 2,
            offered_at_ms=now_ms,
            exclusive=False,
        )
        settlement = Settlement(
            lead_id=f"lead-{self.number}",
            from_states=("offered", "pending"),
            state=state,
            at_ms=now_ms,
            results=(OfferResult(order_id=self.order_id, state=answer, answered_at_ms=now_ms),),
            sales=(sale,) if state == "sold" else (),
            places=1 if state == "sold" else None,
            payout_micros=PRICE // 2 if state == "sold" else 0,
        )
        await self.house.exchange.writer.write(lambda conn: settle(conn, settlement))

    async def close(self, state: Any) -> None:
        counters, now_ms = self.house.exchange.counters, self.house.clock.now_ms()
        if state == "sold":
            await counters.sold(self.place, now_ms, PRICE)
        elif state == "rejected":
            await counters.release(self.place, now_ms)


@pytest.fixture
async def house(open_test_house: Any) -> House:
    house: House = await open_test_house(ORDERS, buyers=BUYERS)
    await house.exchange.watching.close()  # nobody takes these leads over: they have no worker
    return house


async def used(house: House, order_id: str) -> list[int]:
    order = house.exchange.floor.market.orders[order_id]
    return [count for _, count, _ in await house.exchange.counters.peek(order.buyer_id, order.caps, NOON_MS)]


async def test_leads_in_flight_are_no_difference_and_comparing_does_them_no_harm(house: House) -> None:
    """Comparisons and repairs as fast as they go, beside twelve workers of every manner."""
    rng = Random(4)
    done = asyncio.Event()
    truth = {"a": 0, "b": 0, "c": 0}

    async def worker(first: int) -> None:
        for number in range(first, 120, 12):
            lead = Lead(house, number, rng.choice("abc"))
            if rng.random() < 0.3:
                await house.exchange.counters.hold(lead.place, NOON_MS, NOON_MS + 60_000)
            await lead.take()
            if not await lead.keep():
                await lead.settle("rejected")
                continue
            if rng.random() < 0.1:
                await lead.void()
                await lead.take()  # the post came again
                assert await lead.keep()
            state = rng.choice(("sold", "sold", "rejected"))
            await lead.settle(state)
            await lead.close(state)
            truth[lead.order_id] += state == "sold"

    found: list[Outcome] = []

    async def compare(repair: bool) -> None:
        while not done.is_set():
            found.append(await compared(house, repair=repair))

    comparing = [asyncio.create_task(compare(repair)) for repair in (False, True)]
    await asyncio.gather(*(worker(first) for first in range(12)))
    done.set()
    await asyncio.gather(*comparing)
    assert len(found) > 4
    assert [outcome.differences for outcome in found if outcome.differences] == []
    for order_id, sold in truth.items():
        assert (await used(house, order_id))[0] == (sold if order_id != "c" else sold * PRICE)
    assert (await compared(house)).differences == []


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_was_lost_is_there_again(house: House, emptied_valkey: str, seed: int) -> None:
    """Leads that stopped at any step, and counters that lost any of their keys, or all: after a rebuild every window
    counts what is sold, what may be, and live holds; and when all is settled, what is sold."""
    rng = Random(seed)
    open_leads, sold = [], {"a": 0, "b": 0, "c": 0}
    for number in range(40):
        lead = Lead(house, number, rng.choice("abc"))
        steps = rng.randrange(6)
        if steps == 0:
            continue
        await lead.take()
        if steps > 1 and rng.random() < 0.8:
            await lead.keep()
        if steps <= 2:
            open_leads.append(lead)
            continue
        state = rng.choice(("sold", "rejected", "pending"))
        await lead.settle(state)
        if state == "pending":
            open_leads.append(lead)
        sold[lead.order_id] += state == "sold"
        if steps > 4:
            await lead.close(state)
    kinds = [
        f"{{buyer:{buyer}}}:{kind}"
        for buyer in ("ann", "cid")
        for kind in ("counts", "places", "ends", "holds")
    ]
    for key in kinds if seed == 0 else rng.sample(kinds, 3):
        await tell(emptied_valkey, "DEL", key)
    await compared(house, repair=True, all_open=True)
    assert (await compared(house)).differences == []
    still = {order: sum(lead.order_id == order for lead in open_leads) for order in sold}
    for order_id, leads in sold.items():
        counted = leads + still[order_id]
        times = [PRICE] if order_id == "c" else [1, PRICE]
        assert (await used(house, order_id))[: len(times)] == [counted * each for each in times]
    for lead in open_leads:
        state = rng.choice(("sold", "rejected"))
        await lead.settle(state)
        await lead.close(state)
        sold[lead.order_id] += state == "sold"
    for order_id, leads in sold.items():
        assert (await used(house, order_id))[0] == leads * (PRICE if order_id == "c" else 1)
    assert (await compared(house)).differences == []


@pytest.mark.parametrize("repair", [False, True])
async def test_a_sale_below_its_held_price_is_in_flight_too(house: House, repair: bool) -> None:
    """A place held for another mix may be worth more than it was sold for."""
    lead = Lead(house, 1, "a")
    lead.place = structs.replace(lead.place, price_micros=PRICE + 5)
    await lead.take()
    await lead.keep()
    await lead.settle("sold")
    assert (await compared(house, repair=repair)).differences == []
    assert await used(house, "a") == [1, PRICE + 5, 1, 1]
    await lead.close("sold")
    assert await used(house, "a") == [1, PRICE, 1, 1]
    assert (await compared(house)).differences == []


async def test_a_young_offer_without_a_place_is_left_alone_and_an_old_one_gets_it(house: House) -> None:
    """It may be about to ask for its place: to give it one would let it pass a cap."""
    lead = Lead(house, 1, "a")
    await lead.take()
    assert (await compared(house, repair=True)).taken == 0
    assert await used(house, "a") == [0, 0, 0, 0]
    house.clock.move(reconciling.YOUNG_MS)
    assert (await compared(house, repair=True)).taken == 1
    assert await used(house, "a") == [1, PRICE, 1, 1]


async def test_a_place_of_a_lead_that_was_taken_back_is_free_a_minute_later(house: House) -> None:
    lead = Lead(house, 1, "a")
    await lead.take()
    await lead.keep()
    await lead.void()
    outcome = await compared(house, repair=True)
    assert (outcome.freed, len(outcome.differences)) == (1, 4)
    assert (await compared(house)).differences == [], "it stands as a hold for a while"
    house.clock.move(comparing.GONE_MS + 1)
    order = house.exchange.floor.market.orders["a"]
    counted = await house.exchange.counters.peek("ann", order.caps, house.clock.now_ms())
    assert [count for _, count, _ in counted] == [0, 0, 0, 0]


async def test_a_post_that_is_repeated_while_its_place_is_let_go_keeps_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of the ledger and the change: taken again, and kept again."""
    lead = Lead(house, 1, "a")
    await lead.take()
    await lead.keep()
    await lead.void()
    counters = house.exchange.counters
    again: list[Lead] = []
    mend = counters.mend

    def late(*arguments: Any) -> Any:
        async def first_the_post() -> Any:
            if not again:
                again.append(lead)
                await lead.take()
                assert await lead.keep()
            return await mend(*arguments)

        return asyncio.ensure_future(first_the_post())

    monkeypatch.setattr(counters, "mend", late)
    await compared(house, repair=True)
    house.clock.move(comparing.GONE_MS + 1)
    look = await counters.look("ann", [], house.clock.now_ms())
    assert list(look.kept) == ["ping-a-1/a"]
    assert again


async def test_a_buyer_that_never_rests_is_told_as_busy(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciling, "FIRST_PAUSE_S", 0.0001)
    counters = house.exchange.counters
    numbers = iter(range(10_000))
    look = counters.look

    def moving(*arguments: Any) -> Any:
        lead = Lead(house, next(numbers), "a")

        async def looked() -> Any:
            found = await look(*arguments)
            if arguments[0] == "ann":
                await lead.take()
                await lead.keep()
                await lead.settle("sold")
                await lead.close("sold")
            return found

        return asyncio.ensure_future(looked())

    monkeypatch.setattr(counters, "look", moving)
    outcome = await compared(house, repair=True)
    assert outcome.busy == {"ann"}
    assert outcome.differences == []
