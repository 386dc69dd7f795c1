"""A lead whose worker is held for dead is finished once, whatever that worker still does.

The house here is both: fenced by the test in the middle of a post, it begins anew under another name and takes over
what it had in hand itself, while the old post goes on and has to find out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from auction.ledger.engine import open_engine, transaction
from auction.ledger.lead_queries import find_lead_by_ping, lead_history_of, offers_of, sales_of
from auction.measures import families_of
from tests.faults.breaking import CountersAwayAt, apply_to, eventually
from tests.faults.holding import HeldBuyer, held_buyer
from tests.house import PERSON, House

Open = Callable[..., Awaitable[House]]
CAPS = [{"leads": 5, "per": "day"}]
QUICK = {"worker_lease_ms": 1_000, "post_wait_ms": 20_000}
SAFE = {"idempotent": True}


def order(name: str, price: float = 30, **more: Any) -> dict[str, Any]:
    return {"id": name, "buyer": f"{name}-co", "price": {"fixed": price}, "caps": CAPS, **more}


@pytest.fixture
async def buyer() -> AsyncIterator[HeldBuyer]:
    """One that does not answer before the test lets it."""
    async with held_buyer() as one:
        yield one


def asked_at(buyer: HeldBuyer, **more: Any) -> dict[str, Any]:
    """The terms of one who is sent its posts there."""
    return {"post_url": buyer.url, "post_timeout_ms": 60_000, **more}


async def posting(house: House, ping_id: str, buyer: HeldBuyer) -> asyncio.Task[Any]:
    """A post whose lead has reached this buyer, who has not answered yet."""
    task = asyncio.create_task(house.post("/post", {"ping_id": ping_id, "lead": PERSON}))
    await buyer.until_asked()
    return task


def run(house: House, statement: str, **values: Any) -> None:
    """A statement on the ledger, beside the house."""
    engine = open_engine(house.exchange.settings.ledger_url)
    try:
        with transaction(engine) as conn:
            conn.execute(text(statement), values)
    finally:
        engine.dispose()


def hold_for_dead(house: House) -> None:
    """What the others do to a worker that is silent."""
    run(house, "UPDATE workers SET fenced = :yes WHERE id = :id", yes=True, id=house.exchange.lease.worker)


async def ended(house: House, ping_id: str) -> dict[str, Any]:
    """What the ledger has of the ping's lead, once it is not offered any more."""
    found: dict[str, Any] = {}

    def read(conn: Connection) -> bool:
        lead = find_lead_by_ping(conn, ping_id)
        if lead is None or lead.state == "offered":
            return False
        found.update(
            lead=lead,
            state=lead.state,
            offers={one.order_id: one.state for one in offers_of(conn, lead.lead_id)},
            sold=[one.buyer_id for one in sales_of(conn, lead.lead_id)],
            history=lead_history_of(conn, lead.lead_id),
        )
        return True

    async def over() -> bool:
        done: bool = await house.exchange.reader.read(read)
        return done

    await eventually(over, 20)
    return found


async def used(house: House, order_id: str) -> int:
    one = house.exchange.floor.market.orders[order_id]
    return (await house.exchange.counters.peek(one.buyer_id, one.caps, house.clock.now_ms()))[0][1]


async def test_a_buyer_who_promised_that_repeating_is_safe_is_asked_again(
    open_test_house: Open, buyer: HeldBuyer
) -> None:
    house = await open_test_house([order("a")], buyers={"a-co": asked_at(buyer, **SAFE)}, settings=QUICK)
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    hold_for_dead(house)
    await buyer.until_asked(2)
    buyer.speaks.set()
    status, answer = await post
    assert (status, answer["status"], answer["buyers"]) == (200, "sold", ["a-co"])
    found = await ended(house, ping_id)
    assert (found["state"], found["sold"], found["offers"]) == ("sold", ["a-co"], {"a": "accepted"})
    assert found["lead"].worker == house.exchange.lease.worker
    assert any("taken_over_from" in moment.detail for moment in found["history"])
    assert buyer.keys == [f"{found['lead'].lead_id}:a"] * 2
    assert buyer.bodies[0] == buyer.bodies[1], "the same offer to the last byte"
    assert await house.sell(ping_id) == answer
    assert await used(house, "a") == 1
    counted = {family.name: family.values for family in families_of(house.exchange)}
    assert counted["auction_leads_taken_over"] == counted["auction_worker_fenced_self"] == [((), 1.0)]
    assert counted["auction_leads_recovered"] == [(("sold",), 1.0)]
    assert counted["auction_workers_alive"] == [((), 1.0)]


async def test_any_other_buyer_is_not_and_its_late_answer_settles_its_own_offer(
    open_test_house: Open, buyer: HeldBuyer
) -> None:
    house = await open_test_house(
        [order("a"), order("b", 20)], buyers={"a-co": asked_at(buyer)}, settings=QUICK
    )
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    hold_for_dead(house)
    found = await ended(house, ping_id)
    assert (found["state"], found["offers"], found["lead"].places) == ("pending", {"a": "unknown"}, 1)
    assert await used(house, "a") == 1
    buyer.speaks.set()
    status, answer = await post
    assert (status, answer["status"]) in ((200, "pending"), (200, "sold"))

    async def sold() -> bool:
        return bool((await ended(house, ping_id))["state"] == "sold")

    await eventually(sold)
    assert (await house.sell(ping_id))["buyers"] == ["a-co"]
    assert len(buyer.bodies) == 1
    assert await house.seen("b-co", "post") == []
    assert (await ended(house, ping_id))["history"][-1].detail["by"] == "late answer"
    assert await used(house, "a") == 1


async def test_a_refusal_goes_on_to_the_runner_up(open_test_house: Open, buyer: HeldBuyer) -> None:
    buyer.says = "rejected"
    house = await open_test_house(
        [order("a"), order("b", 20)], buyers={"a-co": asked_at(buyer, **SAFE)}, settings=QUICK
    )
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    hold_for_dead(house)
    await buyer.until_asked(2)
    buyer.speaks.set()
    status, answer = await post
    assert (status, answer["buyers"], answer["payout"]) == (200, ["b-co"], 20)
    found = await ended(house, ping_id)
    assert found["offers"] == {"a": "rejected", "b": "accepted"}
    assert len(await house.seen("b-co", "post")) == 1
    assert [await used(house, name) for name in "ab"] == [0, 1]


async def test_who_certainly_refused_before_is_known(open_sqlite_house: Open, buyer: HeldBuyer) -> None:
    """The runner-up's answer is lost with its worker, the winner's refusal is not."""
    manners = {"a-co": {"post": {"accept": 0}}}
    house = await open_sqlite_house(
        [order("a"), order("b", 20)], manners, buyers={"b-co": asked_at(buyer)}, settings=QUICK
    )
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    hold_for_dead(house)
    found = await ended(house, ping_id)
    assert found["offers"] == {"a": "rejected", "b": "unknown"}
    assert found["lead"].places == 1
    buyer.speaks.set()
    await post
    assert len(await house.seen("a-co", "post")) == 1
    assert [await used(house, name) for name in "ab"] == [0, 1]


@pytest.mark.parametrize("safe", [True, False])
async def test_one_that_slept_before_it_sent_anything_sends_nothing_when_it_wakes(
    open_sqlite_house: Open, safe: bool
) -> None:
    house = await open_sqlite_house([order("a")], buyers={"a-co": {"idempotent": safe}}, settings=QUICK)
    offering: Any = house.exchange.posts._offering
    keep, asleep, awake = offering.keep, asyncio.Event(), asyncio.Event()

    async def sleepy(*arguments: Any) -> Any:
        kept = await keep(*arguments)
        if not asleep.is_set():
            asleep.set()
            await awake.wait()
        return kept

    offering.keep = sleepy
    ping_id = (await house.ping())["ping_id"]
    post = asyncio.create_task(house.post("/post", {"ping_id": ping_id, "lead": PERSON}))
    await asleep.wait()
    hold_for_dead(house)
    found = await ended(house, ping_id)
    awake.set()
    status, answer = await post
    assert (status, answer["status"]) == (200, "sold" if safe else "pending")
    assert found["state"] == answer["status"]
    assert len(await house.seen("a-co", "post")) == safe
    assert await used(house, "a") == 1


async def test_counters_that_are_away_are_waited_for(open_sqlite_house: Open, buyer: HeldBuyer) -> None:
    house = await open_sqlite_house([order("a")], buyers={"a-co": asked_at(buyer, **SAFE)}, settings=QUICK)
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    offering: Any = house.exchange.posts._offering
    offering._counters = CountersAwayAt(offering._counters, "keep", times=2)
    hold_for_dead(house)
    await buyer.until_asked(2)
    buyer.speaks.set()
    status, answer = await post
    assert (status, answer["status"]) == (200, "sold")
    assert house.exchange.recovery.waits == 2
    assert house.exchange.recovery.taken_over == 1


async def test_a_lead_that_was_taken_before_plans_were_kept_is_left_to_be_settled(
    open_sqlite_house: Open, buyer: HeldBuyer
) -> None:
    house = await open_sqlite_house(
        [order("a"), order("b", 20)], buyers={"a-co": asked_at(buyer, **SAFE)}, settings=QUICK
    )
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    run(house, "UPDATE leads SET plan = NULL")
    hold_for_dead(house)
    assert (await ended(house, ping_id))["offers"] == {"a": "unknown"}
    buyer.speaks.set()
    await post
    assert len(buyer.bodies) == 1


async def test_a_lead_that_cannot_be_read_is_left_to_be_settled(
    open_sqlite_house: Open, buyer: HeldBuyer
) -> None:
    house = await open_sqlite_house([order("a")], buyers={"a-co": asked_at(buyer, **SAFE)}, settings=QUICK)
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    run(house, "UPDATE leads SET sealed = :garbage", garbage=b"garbage")
    hold_for_dead(house)
    found = await ended(house, ping_id)
    assert (found["state"], found["offers"]) == ("pending", {"a": "unknown"})
    buyer.speaks.set()
    await post
    assert house.exchange.recovery.stuck == 0


async def test_a_buyer_that_left_the_market_meanwhile_keeps_its_place(
    open_sqlite_house: Open, buyer: HeldBuyer
) -> None:
    house = await open_sqlite_house(
        [order("a"), order("b", 20)], buyers={"a-co": asked_at(buyer, **SAFE)}, settings=QUICK
    )
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    await apply_to(house, [order("b", 20)])
    hold_for_dead(house)
    assert (await ended(house, ping_id))["offers"] == {"a": "unknown"}
    buyer.speaks.set()
    await post
    assert await house.seen("b-co", "post") == []


async def test_long_after_its_offer_nobody_new_is_offered_a_lead(
    open_sqlite_house: Open, buyer: HeldBuyer
) -> None:
    """But whoever was asked is asked what became of it."""
    buyer.says = "rejected"
    house = await open_sqlite_house(
        [order("a"), order("b", 20)], buyers={"a-co": asked_at(buyer, **SAFE)}, settings=QUICK
    )
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    house.clock.move(10 * 60_000)
    hold_for_dead(house)
    await buyer.until_asked(2)
    buyer.speaks.set()
    found = await ended(house, ping_id)
    assert (found["state"], found["offers"]) == ("rejected", {"a": "rejected"})
    await post
    assert await house.seen("b-co", "post") == []
    assert await used(house, "a") == 0


async def test_a_place_that_is_gone_by_now_is_not_taken_from_another(
    open_sqlite_house: Open, buyer: HeldBuyer
) -> None:
    """P2: its hold ran out before it was kept, and another lead has the place."""
    house = await open_sqlite_house(
        [order("a", caps=[{"leads": 1, "per": "total"}])],
        buyers={"a-co": asked_at(buyer, **SAFE)},
        settings=QUICK,
    )
    ping_id = (await house.ping())["ping_id"]
    post = await posting(house, ping_id, buyer)
    link = house.exchange.link
    places = b"{buyer:a-co}:places"
    (named, record), *_ = _pairs(await link.call("HGETALL", places))
    await link.call("HDEL", places, named)
    await link.call("HSET", places, b"another/a", record)
    hold_for_dead(house)
    found = await ended(house, ping_id)
    assert (found["state"], found["offers"]) == ("pending", {"a": "unknown"})
    buyer.speaks.set()
    await post
    assert len(buyer.bodies) == 1
    assert await used(house, "a") == 1


async def test_what_we_let_go_of_ourselves_is_taken_up_again(
    open_sqlite_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something broke on a lead's way, and its worker lives."""
    house = await open_sqlite_house([order("a")], buyers={"a-co": SAFE}, settings=QUICK)
    selling: Any = house.exchange.posts.selling
    settle = selling._settle

    async def breaks(course: Any) -> bytes:
        monkeypatch.setattr(selling, "_settle", settle)
        raise RuntimeError("a bug")

    monkeypatch.setattr(selling, "_settle", breaks)
    ping_id = (await house.ping())["ping_id"]
    status, _ = await house.post("/post", {"ping_id": ping_id, "lead": PERSON})
    assert status == 500
    house.clock.move(61_000)
    found = await ended(house, ping_id)
    assert (found["state"], found["sold"]) == ("sold", ["a-co"])
    assert (await house.sell(ping_id))["status"] == "sold"


async def test_a_test_lead_is_finished_without_touching_a_cap(
    open_sqlite_house: Open, buyer: HeldBuyer
) -> None:
    house = await open_sqlite_house([order("a")], buyers={"a-co": asked_at(buyer)}, settings=QUICK)
    ping_id = (await house.ping(test=True))["ping_id"]
    post = await posting(house, ping_id, buyer)
    hold_for_dead(house)
    assert (await ended(house, ping_id))["state"] == "pending"
    buyer.speaks.set()
    await post
    assert await used(house, "a") == 0


async def test_a_house_that_ends_well_leaves_no_worker_behind(open_sqlite_house: Open) -> None:
    house = await open_sqlite_house([order("a")], settings=QUICK)
    await house.exchange.close()
    engine = open_engine(house.exchange.settings.ledger_url)
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM workers")).scalar() == 0
    engine.dispose()


def _pairs(flat: Any) -> list[tuple[bytes, bytes]]:
    if isinstance(flat, dict):
        return list(flat.items())
    return list(zip(flat[::2], flat[1::2], strict=True))
