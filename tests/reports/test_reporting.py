"""The later life of a lead in a whole house: delivered, converted, returned, and the money right at each step."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection

from auction.errors import HouseError
from auction.ledger.engine import transaction
from auction.ledger.lead_queries import find_lead, lead_history_of, sales_of
from auction.ledger.refused import latest_refused
from auction.measures import families_of
from auction.post.sale import LeadState
from auction.reconcile.reconciling import Outcome, Reconciling
from auction.reports.entering import enter
from auction.reports.report import Report, Reported, Rules, Status
from auction.reports.reporting import ReportRefused, returns_of
from auction.reports.returning import DAY_MS
from tests.faults.breaking import CountersAwayAt, eventually
from tests.house import House

Open = Callable[..., Awaitable[House]]
CAPS = [{"leads": 50, "per": "day"}, {"spend": 5_000, "per": "month"}]
LOST: dict[str, Any] = {"post": {"faults": {"reset": 1.0}}}
SHARED = {"mode": "shared", "max_buyers": 3}
FREES = {"days": 5, "frees_cap": True}
SELLERS = [
    {
        "id": "acme",
        "keys": ["sha256:62af8704764faf8ea82fc61ce9c4c3908b6cb97d463a634e9e587d7c885db0ef"],
        "margin": "20%",
    }
]


def order(name: str, price: float, **more: Any) -> dict[str, Any]:
    return {"id": name, "buyer": f"{name}-co", "price": {"fixed": price}, "caps": CAPS, **more}


def told(status: str, lead_id: str | None, name: str = "a", **more: Any) -> Report:
    if status == "returned":
        more.setdefault("reason", "wrong_number")
    buyer = f"{name}-co"
    return Report(status=Status(status), by=f"buyer {buyer}", buyer_id=buyer, lead_id=lead_id, **more)


async def tell(house: House, status: str, lead_id: str | None, name: str = "a", **more: Any) -> Reported:
    return await house.exchange.reporting.report(told(status, lead_id, name, **more))


async def refusal(house: House, status: str, lead_id: str | None, name: str = "a", **more: Any) -> str:
    with pytest.raises(ReportRefused) as caught:
        await tell(house, status, lead_id, name, **more)
    return caught.value.code


async def used(house: House, order_id: str = "a") -> list[int]:
    """What is counted in the order's caps."""
    one = house.exchange.floor.market.orders[order_id]
    return [
        count
        for _, count, _ in await house.exchange.counters.peek(one.buyer_id, one.caps, house.clock.now_ms())
    ]


async def compared(house: House, *, repair: bool = False) -> Outcome:
    exchange = house.exchange
    one = Reconciling(exchange.reader, exchange.counters, house.clock.now_ms(), repair=repair)
    return await one.run(exchange.floor.market)


async def lose_counters(house: House, order_id: str = "a") -> None:
    """They are empty, and the house has made them good again out of its ledger."""
    before = house.exchange.rebuilding.rebuilds
    await house.exchange.link.call("FLUSHALL")

    async def rebuilt() -> bool:
        with contextlib.suppress(HouseError):
            await used(house, order_id)
            return house.exchange.rebuilding.rebuilds > before
        return False

    await eventually(rebuilt)


async def sold(house: House, **more: Any) -> str:
    answer = await house.sell((await house.ping(**more))["ping_id"], phone=f"512-555-{next(NUMBERS):04}")
    assert answer["status"] == "sold", answer
    return str(answer["lead_id"])


NUMBERS = iter(range(1_000, 9_999))


async def read(house: House, lead_id: str) -> dict[str, Any]:
    def ask(conn: Connection) -> dict[str, Any]:
        return {
            "lead": find_lead(conn, lead_id),
            "sales": sales_of(conn, lead_id),
            "history": lead_history_of(conn, lead_id),
            "refused": latest_refused(conn, 100),
        }

    return await house.exchange.reader.read(ask)


async def test_a_lead_is_delivered_converted_and_returned(open_test_house: Open) -> None:
    """With the money right at each step: what the buyer owes, what the seller gets, what the house keeps."""
    house = await open_test_house([order("a", 30, returns=FREES)], sellers=SELLERS)
    lead_id = await sold(house)
    assert await used(house) == [1, 30_000_000]

    async def stands(state: str, payout: float) -> None:
        _, view = await house.get(f"/leads/{lead_id}")
        assert (view["status"], view["payout"]) == (state, payout)

    await stands("sold", 24)
    house.clock.move(1_000)
    assert (await tell(house, "delivered", lead_id)).changed
    await stands("delivered", 24)
    house.clock.move(1_000)
    assert (await tell(house, "converted", lead_id, value_micros=900_000_000)).changed
    await stands("converted", 24)
    assert await used(house) == [1, 30_000_000]
    house.clock.move(1_000)
    returned = await tell(house, "returned", lead_id)
    assert (returned.state, returned.price_micros, returned.payout_micros) == (
        LeadState.RETURNED,
        30_000_000,
        0,
    )
    await stands("returned", 0)
    assert await used(house) == [0, 0]

    kept = await read(house, lead_id)
    (sale,) = kept["sales"]
    assert (sale.price_micros, sale.payout_micros, sale.margin_micros) == (30_000_000, 24_000_000, 6_000_000)
    assert (sale.value_micros, sale.return_reason, sale.cap_freed) == (900_000_000, "wrong_number", True)
    at = [sale.sold_at_ms, sale.delivered_at_ms, sale.converted_at_ms, sale.returned_at_ms]
    assert at == sorted(at)
    assert len(set(at)) == 4
    _, view = await house.get(f"/leads/{lead_id}")
    assert view["buyers"] == []
    assert view["reason"] == "wrong_number"
    last = view["history"][-3:]
    assert [(one["status"], one["told"], one["by"]) for one in last] == [
        ("delivered", "delivered", "buyer a-co"),
        ("converted", "converted", "buyer a-co"),
        ("returned", "returned", "buyer a-co"),
    ]
    assert last[1]["value"] == 900.0
    assert (last[2]["reason"], last[2]["payout"]) == ("wrong_number", 0.0)
    assert (await compared(house)).differences == []


async def test_the_same_again_changes_nothing(open_test_house: Open) -> None:
    house = await open_test_house([order("a", 30, returns=FREES)])
    lead_id = await sold(house)
    for status in ("accepted", "delivered", "converted", "returned"):
        first = await tell(house, status, lead_id, value_micros=5_000_000)
        assert first.changed == (status != "accepted")
        before = await read(house, lead_id)
        again = await tell(house, status, lead_id, value_micros=5_000_000)
        assert (again.changed, again.status, again.state) == (False, Status(status), first.state)
        assert await read(house, lead_id) == before
    for late in ("accepted", "delivered", "converted"):
        assert (await tell(house, late, lead_id)).status is Status.RETURNED, "told before, told late"
    assert await used(house) == [0, 0], "given back once"


async def test_what_is_out_of_order_is_refused_and_kept(open_test_house: Open) -> None:
    house = await open_test_house([order("a", 30, returns=FREES), order("b", 20, returns=FREES)])
    lead_id = await sold(house)
    assert await refusal(house, "rejected", lead_id) == "impossible_status"
    await tell(house, "converted", lead_id, value_micros=5_000_000)
    assert await refusal(house, "delivered", lead_id) == "impossible_status"
    assert await refusal(house, "converted", lead_id, value_micros=6_000_000) == "told_otherwise"
    assert await refusal(house, "converted", lead_id, value_micros=6_000_000) == "told_otherwise"
    await tell(house, "returned", lead_id)
    assert await refusal(house, "delivered", lead_id) == "impossible_status"
    assert await refusal(house, "returned", lead_id, "b") == "unknown_lead", "it was never offered to b"
    assert await refusal(house, "returned", lead_id, order_id="b") == "unknown_order"
    assert await refusal(house, "delivered", "Ann Lee") == "unknown_lead"
    kept = (await read(house, lead_id))["refused"]
    found = {(one.buyer_id, one.lead_id, one.status, one.code): one.times for one in kept}
    assert found == {
        ("a-co", lead_id, "rejected", "impossible_status"): 1,
        ("a-co", lead_id, "delivered", "impossible_status"): 2,
        ("a-co", lead_id, "converted", "told_otherwise"): 2,
        ("b-co", "", "returned", "unknown_lead"): 1,
        ("a-co", lead_id, "returned", "unknown_order"): 1,
        ("a-co", "", "delivered", "unknown_lead"): 1,
    }


async def test_a_value_may_be_told_after_the_conversion(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a", 30)])
    lead_id = await sold(house)
    assert (await tell(house, "converted", lead_id)).changed
    house.clock.move(5_000)
    assert (await tell(house, "converted", lead_id, value_micros=7_000_000)).changed
    assert not (await tell(house, "converted", lead_id)).changed
    (sale,) = (await read(house, lead_id))["sales"]
    assert (sale.value_micros, house.clock.now_ms() - sale.converted_at_ms) == (7_000_000, 5_000)


async def test_an_unknown_offer_is_settled_by_its_buyer(open_test_house: Open) -> None:
    house = await open_test_house([order("a", 30, returns=FREES)], {"a-co": LOST})
    ping_id = (await house.ping())["ping_id"]
    lead_id = (await house.sell(ping_id))["lead_id"]
    assert await refusal(house, "delivered", lead_id) == "impossible_status", (
        "whether it was taken is not known"
    )
    accepted = await tell(house, "accepted", lead_id, buyer_lead_id="a-77")
    assert (accepted.changed, accepted.state) == (True, LeadState.SOLD)
    answer = await house.sell(ping_id)
    assert (answer["status"], answer["buyers"]) == ("sold", ["a-co"])
    assert not (await tell(house, "accepted", lead_id)).changed
    assert await refusal(house, "rejected", lead_id) == "impossible_status"
    known = await tell(house, "delivered", None, buyer_lead_id="a-77")
    assert (known.lead_id, known.changed) == (lead_id, True)
    assert await refusal(house, "delivered", None, buyer_lead_id="a-78") == "unknown_lead"
    assert await refusal(house, "converted", lead_id, buyer_lead_id="a-78") == "told_otherwise"
    assert await house.sell(ping_id) == answer, "the post's answer stays the post's"


async def test_an_unknown_offer_is_refused_by_its_buyer(open_test_house: Open) -> None:
    house = await open_test_house([order("a", 30)], {"a-co": LOST})
    ping_id = (await house.ping())["ping_id"]
    lead_id = (await house.sell(ping_id))["lead_id"]
    assert (await tell(house, "rejected", lead_id, reason="duplicate")).state is LeadState.REJECTED
    assert not (await tell(house, "rejected", lead_id)).changed
    assert await refusal(house, "accepted", lead_id) == "impossible_status"
    assert await refusal(house, "returned", lead_id) == "impossible_status"
    assert await used(house) == [0, 0]
    assert (await house.sell(ping_id))["reason"] == "duplicate"


async def test_of_a_shared_lead_each_sale_has_its_own_life(open_test_house: Open) -> None:
    orders = [order(name, price, returns=FREES) for name, price in (("a", 30), ("b", 20), ("c", 10))]
    house = await open_test_house(orders, {"c-co": LOST}, auction=SHARED, sellers=SELLERS)
    ping_id = (await house.ping())["ping_id"]
    answer = await house.sell(ping_id)
    lead_id = answer["lead_id"]
    assert (answer["buyers"], answer["payout"]) == (["a-co", "b-co"], 40)
    await tell(house, "converted", lead_id, "a")
    assert (await tell(house, "delivered", lead_id, "b")).state is LeadState.CONVERTED
    part = await tell(house, "returned", lead_id, "a")
    assert (part.state, part.payout_micros) == (LeadState.CONVERTED, 16_000_000)
    _, view = await house.get(f"/leads/{lead_id}")
    assert (view["status"], view["payout"], view["buyers"]) == ("converted", 16, ["b-co"])
    assert (view["history"][-1]["told"], view["history"][-1]["payout"]) == ("returned", 16)
    whole = await tell(house, "returned", lead_id, "b")
    assert (whole.state, whole.payout_micros) == (LeadState.RETURNED, 0)
    assert [(await used(house, name))[0] for name in "abc"] == [0, 0, 1]
    assert await house.sell(ping_id) == answer
    joined = await tell(house, "accepted", lead_id, "c")
    assert (joined.state, joined.payout_micros) == (LeadState.SOLD, 8_000_000)
    assert await house.sell(ping_id) == answer, "what the post was told stays"
    _, view = await house.get(f"/leads/{lead_id}")
    assert (view["status"], view["payout"], view["buyers"]) == ("sold", 8, ["c-co"])
    kept = await read(house, lead_id)
    assert [(sale.place, sale.buyer_id, sale.stands) for sale in kept["sales"]] == [
        (1, "a-co", False),
        (2, "b-co", False),
        (3, "c-co", True),
    ], "no place is sold again"
    assert kept["lead"].reason is None


@pytest.mark.parametrize("frees_cap", [True, False])
async def test_the_next_ping_finds_the_cap_free_if_the_order_says_so(
    open_test_house: Open, frees_cap: bool
) -> None:
    one = order("a", 30, returns={"days": 5, "frees_cap": frees_cap}, caps=[{"leads": 1, "per": "day"}])
    house = await open_test_house([one])
    lead_id = await sold(house)
    assert (await house.ping(sub_id="full"))["status"] == "no_bid"
    await tell(house, "returned", lead_id)
    house.clock.move(2_000)  # what is known to be full is tried again a second later
    assert await used(house) == [0 if frees_cap else 1]
    assert (await compared(house)).differences == []
    await lose_counters(house)
    assert await used(house) == [0 if frees_cap else 1], "the ledger says the same"
    assert (await house.ping(sub_id="then"))["status"] == ("offer" if frees_cap else "no_bid")


async def test_window_and_share_of_returns(open_test_house: Open) -> None:
    house = await open_test_house(
        [
            order("a", 30, returns={"days": 2, "share": "50%"}, caps=[{"leads": 4, "per": "month"}]),
            order("b", 20),
        ]
    )
    first = await sold(house)
    house.clock.move(DAY_MS)
    second, third, fourth = [await sold(house, sub_id=str(n)) for n in range(3)]
    assert await refusal(house, "returned", await sold(house), "b") == "not_returnable"
    house.clock.move(DAY_MS)
    assert (await tell(house, "returned", first)).changed, "on the last millisecond of its window"
    house.clock.move(1)
    assert await refusal(house, "returned", first, order_id="b") == "unknown_order"
    assert (await tell(house, "returned", second)).changed
    assert await refusal(house, "returned", third) == "return_share_full", (
        "of three in the window one is returned"
    )
    house.clock.move(2 * DAY_MS)
    assert await refusal(house, "returned", fourth) == "return_window_over"
    assert not (await tell(house, "returned", first)).changed, "what was told stays told"


async def test_a_test_lead_can_be_returned_and_touches_nothing(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a", 30, returns={"days": 5, "share": "10%", "frees_cap": True})])
    lead_id = await sold(house, test=True)
    real = await sold(house, sub_id="real")
    assert (await tell(house, "returned", lead_id)).changed
    assert await used(house) == [1, 30_000_000]
    assert await refusal(house, "returned", real) == "return_share_full"
    counted = {family.name: family.values for family in families_of(house.exchange)}
    assert counted["auction_money_returned"] == []
    assert dict(counted["auction_postbacks"]) == {("returned", "changed"): 1.0, ("returned", "refused"): 1.0}


async def test_of_fifty_returns_at_once_as_many_are_taken_as_the_share_allows(open_test_house: Open) -> None:
    """From two sides at once: the house's writer, and another process's transactions."""
    house = await open_test_house(
        [order("a", 10, returns={"days": 5, "share": "10%", "frees_cap": True})],
    )
    leads = [await sold(house, sub_id=str(number)) for number in range(50)]
    market = house.exchange.floor.market
    rules = Rules(partial(returns_of, market), "USD", house.exchange._sealer)
    engine = house.exchange._engine

    def beside(lead_id: str) -> bool:
        with transaction(engine) as conn:
            return isinstance(enter(conn, told("returned", lead_id), rules, house.clock.now_ms()), Reported)

    async def by_door(lead_id: str) -> bool:
        with contextlib.suppress(ReportRefused):
            return (await tell(house, "returned", lead_id)).changed
        return False

    ways = [by_door(one) if at % 5 else asyncio.to_thread(beside, one) for at, one in enumerate(leads)]
    taken = await asyncio.gather(*ways)
    assert sum(taken) == 5
    assert len([one for one in leads if not (await read(house, one))["sales"][0].stands]) == 5


async def test_counters_that_are_away_are_owed_the_return(open_test_house: Open) -> None:
    house = await open_test_house([order("a", 30, returns=FREES)])
    lead_id = await sold(house)
    reporting: Any = house.exchange.reporting
    reporting._counters = CountersAwayAt(reporting._counters, "returned")
    assert (await tell(house, "returned", lead_id)).changed

    async def free() -> bool:
        return await used(house) == [0, 0]

    await eventually(free)


async def test_a_worker_that_was_killed_in_between_leaves_it_to_the_comparison(open_test_house: Open) -> None:
    """And what the comparison gave back is not given back again by somebody who is late."""
    house = await open_test_house([order("a", 30, returns=FREES)])
    first, second = await sold(house), await sold(house, sub_id="2")
    reporting: Any = house.exchange.reporting
    rules = Rules(partial(returns_of, house.exchange.floor.market), "USD", house.exchange._sealer)
    step = partial(enter, report=told("returned", first), rules=rules, at_ms=house.clock.now_ms())
    reported = await house.exchange.writer.write(step)
    assert isinstance(reported, Reported)
    assert await used(house) == [2, 60_000_000]
    assert (await compared(house, repair=True)).differences == [], "a moment later it may be told yet"
    assert await used(house) == [2, 60_000_000]
    house.clock.move(60_000)
    found = (await compared(house, repair=True)).differences
    assert [(one.cap, one.ledger, one.counters) for one in found] == [
        ("leads/day", 1, 2),
        ("spend/month", 30_000_000, 60_000_000),
    ]
    assert await used(house) == [1, 30_000_000]
    caps = house.exchange.floor.market.orders["a"].caps
    await reporting._give_back(reported, caps)
    assert not (await tell(house, "returned", first)).changed
    assert await used(house) == [1, 30_000_000]
    assert (await compared(house)).differences == []
    await tell(house, "returned", second)
    assert await used(house) == [0, 0]


async def test_counters_that_were_lost_are_rebuilt_without_it_and_a_late_word_changes_nothing(
    open_test_house: Open,
) -> None:
    house = await open_test_house([order("a", 30, returns=FREES)])
    lead_id, _ = await sold(house), await sold(house, sub_id="2")
    returned = await tell(house, "returned", lead_id)
    await lose_counters(house)
    assert await used(house) == [1, 30_000_000]
    reporting: Any = house.exchange.reporting
    await reporting._give_back(returned, house.exchange.floor.market.orders["a"].caps)
    assert await used(house) == [1, 30_000_000]


async def test_a_return_that_is_told_again_hours_later_gives_nothing_back(open_sqlite_house: Open) -> None:
    """The counters have forgotten by then that they were told."""
    house = await open_sqlite_house([order("a", 30, returns=FREES)])
    first, second, _ = [await sold(house, sub_id=str(number)) for number in range(3)]
    await tell(house, "returned", first)
    house.clock.move(3 * 3_600_000)
    await tell(house, "returned", second)
    assert await used(house) == [1, 30_000_000]
    assert not (await tell(house, "returned", first)).changed
    assert await used(house) == [1, 30_000_000]


async def test_what_a_buyer_says_of_a_lead_does_not_name_anybody(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a", 30, returns=FREES)])
    answer = await house.sell((await house.ping())["ping_id"], first_name="Marigold")
    await tell(house, "returned", answer["lead_id"], reason="Marigold_is_gone")
    kept = await read(house, answer["lead_id"])
    assert kept["sales"][0].return_reason == kept["lead"].reason == "returned"
    assert "Marigold" not in str(kept["history"])
