"""Returns that free caps, on their way between the two stores while these are compared, and after the counters lost
anything: a window counts what is sold and was not given back."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from auction.counters.counters import RETURN_TOLD_MS
from auction.ledger.afterwards import tell_sale
from auction.ledger.lead_queries import sales_of
from auction.reconcile.reconciling import FREED_MS, SETTLING_MS, Outcome
from auction.reconcile.seeding import seed_caps
from tests.house import NOON_MS, House
from tests.reconcile.test_reconciling import CAPS, PRICE, Lead, compared, house, used
from tests.valkeys import tell

__all__ = ["house"]  # the fixture


class Returned(Lead):
    """A lead that is sold, and may be given back."""

    async def sell(self) -> None:
        await self.take()
        assert await self.keep()
        await self.settle("sold")
        await self.close("sold")

    async def give_back(self) -> None:
        """The durable step."""
        now_ms = self.house.clock.now_ms()

        def step(conn: Any) -> None:
            (sale,) = sales_of(conn, f"lead-{self.number}")
            tell_sale(conn, sale, "return", now_ms, reason="old", cap_freed=True)

        await self.house.exchange.writer.write(step)

    async def tell(self) -> None:
        """The counters are told."""
        await self.house.exchange.counters.returned(self.place, NOON_MS, self.house.clock.now_ms())


async def test_returns_in_flight_are_no_difference_and_are_given_back_once(house: House) -> None:
    """Comparisons and repairs as fast as they go, beside eight workers that sell and give back."""
    rng = Random(9)
    done = asyncio.Event()
    truth = {"a": 0, "b": 0, "c": 0}

    async def worker(first: int) -> None:
        for number in range(first, 96, 8):
            lead = Returned(house, number, rng.choice("abc"))
            await lead.take()
            if not await lead.keep():
                await lead.settle("rejected")
                continue
            await lead.settle("sold")
            early = rng.random() < 0.2  # its sale is told after its return
            if not early:
                await lead.close("sold")
            if rng.random() < 0.6:
                await lead.give_back()
                await asyncio.sleep(rng.random() / 100)
                await asyncio.gather(*(lead.tell() for _ in range(rng.choice((1, 2)))))
            else:
                truth[lead.order_id] += 1
            if early:
                await lead.close("sold")

    found: list[Outcome] = []

    async def compare(repair: bool) -> None:
        while not done.is_set():
            found.append(await compared(house, repair=repair))

    comparing = [asyncio.create_task(compare(repair)) for repair in (False, True)]
    await asyncio.gather(*map(worker, range(8)))
    done.set()
    await asyncio.gather(*comparing)
    assert len(found) > 4
    assert [outcome.differences for outcome in found if outcome.differences] == []
    for order_id, sold in truth.items():
        assert (await used(house, order_id))[0] == (sold if order_id != "c" else sold * PRICE)
    assert (await compared(house)).differences == []


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_was_lost_what_was_given_back_stays_so(
    house: House, emptied_valkey: str, seed: int
) -> None:
    """Workers that were killed before they told the counters, and counters that lost any of their keys, or all. Who
    tells them late changes nothing."""
    rng = Random(seed)
    sold, back = {"a": 0, "b": 0, "c": 0}, []
    for number in range(30):
        lead = Returned(house, number, rng.choice("abc"))
        await lead.sell()
        if rng.random() < 0.5:
            sold[lead.order_id] += 1
            continue
        await lead.give_back()
        back.append(lead)
        if rng.random() < 0.5:
            await lead.tell()
    kinds = [
        f"{{buyer:{buyer}}}:{kind}"
        for buyer in ("ann", "cid")
        for kind in ("counts", "places", "ends", "holds", "returned")
    ]
    for key in kinds if seed == 0 else rng.sample(kinds, 3):
        await tell(emptied_valkey, "DEL", key)
    await compared(house, repair=True, all_open=True)

    async def right() -> None:
        for order_id, leads in sold.items():
            times = [PRICE] if order_id == "c" else [1, PRICE]
            assert (await used(house, order_id))[: len(times)] == [leads * each for each in times]
        assert (await compared(house)).differences == []

    await right()
    for lead in back:
        await lead.tell()
    await right()


async def test_a_return_that_nobody_told_in_time_is_left_to_the_comparison(house: House) -> None:
    """However long ago: those that may be told yet are marked, the others are told by nobody."""
    first, second = Returned(house, 1, "a"), Returned(house, 2, "a")
    await first.sell()
    await second.sell()
    await first.give_back()
    house.clock.move(SETTLING_MS - 1)
    assert (await compared(house, repair=True)).differences == []
    assert (await used(house, "a"))[0] == 2
    house.clock.move(1)
    assert len((await compared(house, repair=True)).differences) == 4
    await first.tell()
    assert (await used(house, "a"))[:2] == [1, PRICE]
    await second.give_back()
    house.clock.move(FREED_MS + 1)
    assert FREED_MS > RETURN_TOLD_MS
    assert len((await compared(house, repair=True)).differences) == 3, "the hour is over"
    assert (await used(house, "a"))[:2] == [0, 0]


async def test_a_sale_that_was_never_told_goes_with_its_place(house: House) -> None:
    """Compared meanwhile, and told in either order."""
    for number, sold_first in enumerate((True, False)):
        lead = Returned(house, number, "a")
        await lead.take()
        assert await lead.keep()
        await lead.settle("sold")
        await lead.give_back()
        assert (await compared(house, repair=True)).differences == []
        assert (await used(house, "a"))[0] == 1
        if sold_first:
            await lead.close("sold")
        await lead.tell()
        await lead.close("sold")
        assert await used(house, "a") == [0, 0, 0, 0]


async def test_a_new_cap_does_not_count_what_was_given_back_just_now(house: House) -> None:
    """Whoever is about to tell the counters knows nothing of that cap, or all of it: it is right either way."""
    lead = Returned(house, 1, "c")
    await lead.sell()
    await lead.give_back()
    order = house.exchange.floor.market.orders["c"]
    assert len(order.caps) == len(CAPS) - 1
    name = f"{order.caps[0].key}@{order.caps[0].window(NOON_MS).start_ms}"
    await house.exchange.link.call("HDEL", "{buyer:cid}:counts", name)  # as if it were new
    exchange = house.exchange
    await seed_caps(exchange.reader, exchange.counters, None, exchange.floor.market, NOON_MS)
    assert await used(house, "c") == [0, 1]
    await lead.tell()
    assert await used(house, "c") == [0, 0]
    assert (await compared(house)).differences == []
