"""An unknown offer is settled, once: the sale, the payout, the answer, the place and the history say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Connection

from auction.errors import HouseError
from auction.ledger.lead_queries import find_lead, lead_history_of, offers_of, sales_of
from auction.measures import families_of
from auction.post.sale import LeadState
from auction.post.settling import Said, SettlementRefused
from tests.faults.breaking import CountersAwayAt, eventually
from tests.faults.holding import held_buyer
from tests.house import PERSON, House

Open = Callable[..., Awaitable[House]]
CAPS = [{"leads": 1, "per": "day"}]
LOST: dict[str, Any] = {"post": {"faults": {"reset": 1.0}}}
SHARED = {"mode": "shared", "max_buyers": 3}


def order(name: str, price: float, **more: Any) -> dict[str, Any]:
    return {"id": name, "buyer": f"{name}-co", "price": {"fixed": price}, "caps": CAPS, **more}


def yes(order_id: str | None = None, **more: Any) -> Said:
    return Said(accepted=True, by="test", order_id=order_id, **more)


def no(order_id: str | None = None, **more: Any) -> Said:
    return Said(accepted=False, by="test", order_id=order_id, **more)


async def used(house: House, order_id: str) -> int:
    """What is counted in the order's cap."""
    one = house.exchange.floor.market.orders[order_id]
    return (await house.exchange.counters.peek(one.buyer_id, one.caps, house.clock.now_ms()))[0][1]


async def read(house: House, lead_id: str) -> dict[str, Any]:
    """All that the ledger has of a lead."""

    def ask(conn: Connection) -> dict[str, Any]:
        lead = find_lead(conn, lead_id)
        assert lead is not None
        return {
            "lead": lead,
            "offers": {one.order_id: one for one in offers_of(conn, lead_id)},
            "sales": sales_of(conn, lead_id),
            "last": lead_history_of(conn, lead_id)[-1],
        }

    return await house.exchange.reader.read(ask)


async def refused(house: House, lead_id: str, said: Said) -> tuple[str, str]:
    with pytest.raises(SettlementRefused) as caught:
        await house.exchange.settling.settle(lead_id, said)
    return caught.value.code, caught.value.detail


async def test_a_pending_lead_turns_out_to_be_sold(open_test_house: Open) -> None:
    house = await open_test_house([order("a", 30)], {"a-co": LOST})
    ping_id = (await house.ping())["ping_id"]
    before = await house.sell(ping_id)
    assert before["status"] == "pending"
    settled = await house.exchange.settling.settle(before["lead_id"], yes(buyer_lead_id="77"))
    assert (settled.state, settled.order_id, settled.payout_micros) == (LeadState.SOLD, "a", 30_000_000)
    after = await house.sell(ping_id)
    assert after == {
        **before,
        "status": "sold",
        "payout": 30.0,
        "currency": "USD",
        "buyers": ["a-co"],
    }
    kept = await read(house, before["lead_id"])
    (sale,) = kept["sales"]
    assert (sale.buyer_id, sale.payout_micros, sale.exclusive) == ("a-co", 30_000_000, True)
    assert (kept["offers"]["a"].state, kept["offers"]["a"].buyer_lead_id) == ("accepted", "77")
    assert kept["last"].detail["by"] == "test"
    assert kept["lead"].plan is None
    assert await used(house, "a") == 1
    assert (await house.ping(sub_id="next"))["status"] == "no_bid", "its place is sold"
    assert len(await house.seen("a-co", "post")) == 1


async def test_a_pending_lead_turns_out_to_be_refused(open_test_house: Open) -> None:
    house = await open_test_house([order("a", 30), order("b", 20)], {"a-co": LOST})
    ping_id = (await house.ping())["ping_id"]
    lead_id = (await house.sell(ping_id))["lead_id"]
    assert await used(house, "a") == 1
    await house.exchange.settling.settle(lead_id, no("a", reason="duplicate"))
    after = await house.sell(ping_id)
    assert (after["status"], after["reason"]) == ("rejected", "duplicate")
    assert await used(house, "a") == 0, "its place is free again"
    assert await house.seen("b-co", "post") == [], "nobody else is offered a lead that was long ago"


async def test_of_two_unknown_offers_each_is_settled_by_itself(open_test_house: Open) -> None:
    house = await open_test_house(
        [order("a", 30), order("b", 20)], {"a-co": LOST, "b-co": LOST}, auction=SHARED
    )
    ping_id = (await house.ping())["ping_id"]
    lead_id = (await house.sell(ping_id))["lead_id"]
    assert await refused(house, lead_id, yes()) == (
        "which_order",
        f"lead {lead_id} has several unknown offers: name one of a, b",
    )
    settling = house.exchange.settling
    assert (await settling.settle(lead_id, no("a"))).state is LeadState.PENDING
    assert (await house.sell(ping_id))["status"] == "pending"
    assert (await settling.settle(lead_id, yes())).state is LeadState.SOLD
    answer = await house.sell(ping_id)
    assert (answer["buyers"], answer["payout"]) == (["b-co"], 20)
    assert [await used(house, name) for name in "ab"] == [0, 1]


async def test_a_buyer_of_a_shared_lead_joins_those_that_bought_it(open_test_house: Open) -> None:
    """The post's answer stays what was told (P5); the lead and its money say what is known now."""
    link = "https://a.example/thanks"
    manners = {"a-co": {"post": {"redirect_url": link}}, "b-co": LOST, "c-co": LOST}
    orders = [order("a", 30), order("b", 20), order("c", 10)]
    house = await open_test_house(orders, manners, auction=SHARED)
    ping_id = (await house.ping())["ping_id"]
    before = await house.sell(ping_id)
    assert (before["status"], before["buyers"]) == ("sold", ["a-co"])
    settling = house.exchange.settling
    assert (await settling.settle(before["lead_id"], yes("c"))).state is LeadState.SOLD
    assert (await settling.settle(before["lead_id"], no("b"))).state is LeadState.SOLD
    assert await house.sell(ping_id) == before
    status, lead = await house.get(f"/leads/{before['lead_id']}")
    assert (status, lead["buyers"], lead["payout"]) == (200, ["a-co", "c-co"], 40)
    kept = await read(house, before["lead_id"])
    assert [(sale.place, sale.buyer_id) for sale in kept["sales"]] == [(1, "a-co"), (2, "c-co")]
    assert kept["lead"].payout_micros == 40_000_000
    assert [await used(house, name) for name in "abc"] == [1, 0, 1]


async def test_what_cannot_be_settled_is_refused_with_a_sentence(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a", 30)], {"a-co": LOST})
    lead_id = (await house.sell((await house.ping())["ping_id"]))["lead_id"]
    assert await refused(house, "nobody", yes()) == (
        "unknown_lead",
        "there is no lead 'nobody' in this ledger",
    )
    assert (await refused(house, lead_id, yes("b")))[0] == "unknown_order"
    await house.exchange.settling.settle(lead_id, yes())
    assert await refused(house, lead_id, yes("a")) == (
        "settled_so",
        f"lead {lead_id}: the offer to a is known to be accepted already",
    )
    assert (await refused(house, lead_id, no("a")))[0] == "settled_otherwise"
    assert (await refused(house, lead_id, no()))[0] == "nothing_unknown"
    assert len((await read(house, lead_id))["sales"]) == 1


async def test_a_test_lead_is_settled_without_touching_a_cap(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a", 30)], {"a-co": LOST})
    lead_id = (await house.sell((await house.ping(test=True))["ping_id"]))["lead_id"]
    assert (await house.exchange.settling.settle(lead_id, yes())).test
    assert await used(house, "a") == 0


async def test_what_is_unknown_is_measured(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a", 30)], {"a-co": LOST}, settings={"worker_lease_ms": 500})
    lead_id = (await house.sell((await house.ping())["ping_id"]))["lead_id"]

    async def measured(pending: float, unknown: float) -> bool:
        counted = {family.name: family.values for family in families_of(house.exchange)}
        found = counted["auction_leads_pending"], counted["auction_offers_unknown"]
        return found == ([((), pending)], [((), unknown)])

    await eventually(lambda: measured(1, 1))
    await house.exchange.settling.settle(lead_id, yes())
    await eventually(lambda: measured(0, 0))
    counted = {family.name: family.values for family in families_of(house.exchange)}
    assert counted["auction_offers_settled"] == [(("test", "accepted"), 1.0)]


async def test_counters_that_are_away_are_told_later(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a", 30)], {"a-co": LOST})
    lead_id = (await house.sell((await house.ping())["ping_id"]))["lead_id"]
    settling: Any = house.exchange.settling
    settling._counters = CountersAwayAt(settling._counters, "release")
    await settling.settle(lead_id, no())

    async def free() -> bool:
        return await used(house, "a") == 0

    await eventually(free)


async def test_a_late_answer_waits_until_its_offer_is_unknown(open_sqlite_house: Open) -> None:
    """And one that says something else than what is known by then is not used."""
    async with held_buyer() as buyer:
        terms = {"post_url": buyer.url, "post_timeout_ms": 60_000}
        house = await open_sqlite_house([order("a", 30)], buyers={"a-co": terms})
        ping_id = (await house.ping())["ping_id"]
        settling: Any = house.exchange.settling
        task = asyncio.create_task(house.post("/post", {"ping_id": ping_id, "lead": PERSON}))
        await buyer.until_asked()
        ((lead_id, _),) = house.exchange.posts.book.in_hand
        assert (await refused(house, lead_id, no("a")))[0] == "being_offered"
        settling.late(lead_id, no("a"))
        assert house.exchange.posts.book.owed.waiting
        buyer.speaks.set()
        status, answer = await task
    assert (status, answer["status"]) == (200, "sold")

    async def told() -> bool:
        return not house.exchange.posts.book.owed.waiting

    await eventually(told)
    assert len((await read(house, lead_id))["sales"]) == 1


async def test_a_ledger_that_is_away_settles_nothing(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a", 30)], {"a-co": LOST})
    lead_id = (await house.sell((await house.ping())["ping_id"]))["lead_id"]
    settling: Any = house.exchange.settling
    writer = settling._writer

    class Away:
        async def write(self, op: Any) -> Any:
            raise HouseError("ledger_unavailable", "away")

    settling._writer = Away()
    with pytest.raises(HouseError):
        await settling.settle(lead_id, yes())
    settling._writer = writer
    assert (await settling.settle(lead_id, yes())).state is LeadState.SOLD
