"""Leads that wait for a buyer, in a whole house: kept, tried again, sold once, or refused when their time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, select

from auction.forgetting import words_of
from auction.ledger.forgetting import forget_leads
from auction.ledger.lead_queries import find_lead, offers_of
from auction.ledger.schema import fingerprints, leads, waits
from auction.ledger.waiting import take_due
from auction.post.waiting import AT_ONCE, Waiting
from auction.post.waits import wait_ms
from tests.faults.breaking import AwayAt, CountersAwayAt, apply_to, eventually
from tests.house import KEY_HASH, House
from tests.post.test_suppression import LISTS, load

OpenHouse = Callable[..., Awaitable[House]]
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
SELLER = {"id": "acme", "code": "ACME1234", "keys": [KEY_HASH]}
WAITS = {"pending_hours": 2, "doors": {"leads": {"name": "Solar"}, "router": {}}}
LEAD = {
    "seller": "ACME1234",
    "category": "Solar",
    "state": "TX",
    "firstName": "Ann",
    "phone": "512-555-0142",
}
FIXED = {"id": "a", "buyer": "a-co", "price": {"fixed": 20}}
CLOSED = {**FIXED, "hours": ["Mon-Sun 23:00-23:30"]}
Terms = dict[str, Any]


@pytest.fixture
def open_quiet(open_sqlite_house: OpenHouse) -> OpenHouse:
    """A house whose waiting leads have their turns when the test says so."""
    return partial(_quiet, open_sqlite_house)


async def _quiet(opens: OpenHouse, orders: list[Terms], **changes: Any) -> House:
    house = await opens(orders, campaign=WAITS | changes.pop("campaign", {}), sellers=[SELLER], **changes)
    await house.exchange.waiting.close()
    return house


async def send(house: House, **changes: Any) -> dict[str, Any]:
    status, answer = await house.post("/api/leads", {**LEAD, **changes})
    assert status == 200, answer
    return answer


async def kept(house: House) -> tuple[int, int, int]:
    """Rows of leads, of waits, of fingerprints."""

    def count(conn: Connection) -> tuple[int, int, int]:
        of_leads, of_waits, of_prints = (
            len(conn.execute(select(one)).all()) for one in (leads, waits, fingerprints)
        )
        return of_leads, of_waits, of_prints

    return await house.exchange.reader.read(count)


async def test_a_lead_that_nobody_buys_yet_is_sold_when_hours_open(open_test_house: OpenHouse) -> None:
    orders = [{**FIXED, "hours": ["Mon-Sun 12:30-23:00"]}]
    house = await _quiet(open_test_house, orders)
    answer = await send(house)
    assert (answer["success"], answer["status"], set(answer)) == (
        True,
        "pending",
        {"success", "status", "lead_id"},
    )
    path = f"/leads/{answer['lead_id']}"
    assert (await house.get(path))[1]["status"] == "waiting"
    waiting = house.exchange.waiting
    assert await waiting.look() == 0  # its first turn is in a minute
    assert waiting.leads == 1
    house.clock.move(29 * MINUTE_MS)
    assert await waiting.look() == 1
    assert waiting.outcomes[("no_bid",)] == 1
    house.clock.move(MINUTE_MS)  # it opens before the lead's next turn
    assert await waiting.look() == 1
    view = (await house.get(path))[1]
    assert (view["status"], view["buyers"], view["payout"]) == ("sold", ["a-co"], 20.0)
    assert [moment["status"] for moment in view["history"]] == ["received", "waiting", "offered", "sold"]
    (posted,) = await house.seen("a-co", "post")
    assert posted["body"]["lead"]["phone"] == "+15125550142"
    assert await waiting.look() == 0
    assert waiting.leads == 0
    assert house.app.bugs == 0


async def test_the_turns_come_by_themselves(open_sqlite_house: OpenHouse) -> None:
    house = await open_sqlite_house([CLOSED], campaign=WAITS, sellers=[SELLER])
    lead_id = (await send(house))["lead_id"]
    house.clock.move(HOUR_MS * 3)

    async def refused() -> bool:
        _, view = await house.get(f"/leads/{lead_id}")
        return bool(view["status"] == "rejected")

    await eventually(refused)


async def test_waits_grow(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED], campaign={"pending_hours": 24})
    await send(house)
    waited = []
    for tries in range(8):
        house.clock.move(wait_ms(tries) - 1)
        assert await house.exchange.waiting.look() == 0
        house.clock.move(1)
        assert await house.exchange.waiting.look() == 1
        waited.append(wait_ms(tries) // MINUTE_MS)
    assert waited == [1, 2, 5, 10, 15, 30, 30, 30]


async def test_changed_terms_are_tried_soon(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    lead_id = (await send(house))["lead_id"]
    await house.exchange.waiting.look()
    house.clock.move(11_000)  # long before its turn
    assert await house.exchange.waiting.look() == 0
    await apply_to(house, [FIXED], campaign=WAITS, sellers=[SELLER])
    assert await house.exchange.waiting.look() == 1
    assert (await house.get(f"/leads/{lead_id}"))[1]["status"] == "sold"


async def test_its_time_ends(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    lead_id = (await send(house))["lead_id"]
    house.clock.move(HOUR_MS * 2 - 1)
    assert await house.exchange.waiting.look() == 1
    assert (await house.get(f"/leads/{lead_id}"))[1]["status"] == "waiting"
    house.clock.move(1)
    assert await house.exchange.waiting.look() == 1
    _, view = await house.get(f"/leads/{lead_id}")
    assert (view["status"], view["reason"]) == ("rejected", "no_buyer_in_time")
    assert await kept(house) == (1, 0, 0)
    house.clock.move(HOUR_MS * 9)
    assert await house.exchange.waiting.look() == 0


async def test_where_leads_do_not_wait_they_are_kept_as_refused(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED], campaign={"pending_hours": None})
    answer = await send(house)
    lead_id = answer["lead_id"]
    assert answer == {
        "success": False,
        "lead_id": lead_id,
        "status": "rejected",
        "reason": "no_eligible_order",
    }
    _, view = await house.get(f"/leads/{lead_id}")
    assert (view["status"], view["reason"]) == ("rejected", "no_eligible_order")
    assert await kept(house) == (1, 0, 0)


async def test_a_waiting_lead_makes_an_equal_one_a_duplicate(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED], campaign={"duplicates": {"fields": ["phone"], "days": 1}})
    assert (await send(house))["status"] == "pending"
    assert (await send(house, firstName="Bob"))["reason"] == "duplicate"
    assert await kept(house) == (2, 1, 1)


async def test_who_asked_not_to_be_called_since_is_sold_to_nobody(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED], campaign={"pending_hours": 24}, suppression_lists=LISTS)
    lead_id = (await send(house))["lead_id"]
    await load(house, LEAD["phone"])
    assert (await send(house))["reason"] == "suppressed"
    house.clock.move(11 * HOUR_MS + 10 * MINUTE_MS)  # the order is open
    await house.exchange.waiting.look()
    _, view = await house.get(f"/leads/{lead_id}")
    assert (view["status"], view["reason"]) == ("rejected", "suppressed")
    assert await house.seen("a-co", "post") == []


async def test_a_waiting_lead_that_is_forgotten_is_refused_at_once(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    lead_id = (await send(house))["lead_id"]
    exchange = house.exchange
    forget = partial(
        forget_leads, lead_ids=[lead_id], words=words_of(exchange._sealer), at_ms=1, duplicates_too=True
    )
    await exchange.writer.write(forget)
    assert await exchange.waiting.look() == 1
    _, view = await house.get(f"/leads/{lead_id}")
    assert (view["status"], view["reason"]) == ("rejected", "forgotten")
    assert await kept(house) == (1, 0, 0)


async def test_two_workers_with_the_same_turn_sell_it_once(open_quiet: OpenHouse) -> None:
    orders = [{**FIXED, "caps": [{"leads": 2, "per": "day"}], "filter": {"field": "bill", "at_least": 100}}]
    house = await open_quiet(orders)
    lead_id = (await send(house))["lead_id"]
    await apply_to(house, [{**FIXED, "caps": orders[0]["caps"]}], campaign=WAITS, sellers=[SELLER])
    house.clock.move(MINUTE_MS)
    exchange = house.exchange
    step = partial(take_due, now_ms=house.clock.now_ms(), most=9, wait_ms=wait_ms)
    (due,) = await exchange.writer.write(step)
    assert await exchange.writer.write(step) == []  # the turn is one worker's
    await asyncio.gather(exchange.waiting._try(due), exchange.waiting._try(due))  # and yet
    outcomes = exchange.waiting.outcomes
    assert outcomes["sold",] == 1
    assert outcomes["gone",] + outcomes["put_off",] == 1  # sold by then, or in the other's hands
    assert len(await house.seen("a-co", "post")) == 1
    assert (await house.get(f"/leads/{lead_id}"))[1]["status"] == "sold"
    order = exchange.floor.market.orders["a"]
    ((_, used, _),) = await exchange.counters.peek("a-co", order.caps, house.clock.now_ms())
    assert used == 1


@pytest.mark.parametrize("done", [False, True])
async def test_counters_that_fail_before_it_is_sent_cost_a_turn(open_quiet: OpenHouse, done: bool) -> None:
    house = await open_quiet([CLOSED])
    lead_id = (await send(house))["lead_id"]
    await apply_to(house, [FIXED], campaign=WAITS, sellers=[SELLER])
    house.clock.move(MINUTE_MS)
    offering: Any = house.exchange.waiting._offering
    offering._counters = CountersAwayAt(offering._counters, "keep", done=done)
    assert await house.exchange.waiting.look() == 1
    assert house.exchange.waiting.outcomes == {("put_off",): 1}
    assert (await house.get(f"/leads/{lead_id}"))[1]["status"] == "waiting"
    assert await house.seen("a-co", "post") == []
    await sold_at_next_turn(house, lead_id)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("fails_to_wait", [0, 3])
async def test_an_intent_that_may_have_been_written(
    open_quiet: OpenHouse, written: bool, fails_to_wait: int
) -> None:
    house = await open_quiet([CLOSED])
    lead_id = (await send(house))["lead_id"]
    await apply_to(house, [FIXED], campaign=WAITS, sellers=[SELLER])
    house.clock.move(MINUTE_MS)
    book: Any = house.exchange.posts.book
    book._writer = AwayAt(book._writer, "offer_waiting", written=written)
    book._writer = AwayAt(book._writer, "wait_again", times=fails_to_wait)
    await house.exchange.waiting.look()
    assert house.exchange.waiting.outcomes == {("put_off",): 1}

    async def paid() -> bool:
        return not book.owed.waiting

    await eventually(paid)
    assert book.in_hand == set()
    assert await house.seen("a-co", "post") == []
    await sold_at_next_turn(house, lead_id)


async def test_a_turn_is_not_taken_back_by_what_an_earlier_one_owed(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    await send(house)
    await apply_to(house, [FIXED], campaign=WAITS, sellers=[SELLER])
    house.clock.move(MINUTE_MS)
    book: Any = house.exchange.posts.book
    mended = asyncio.Event()
    writer = book._writer = AwayAt(book._writer, "offer_waiting")
    book._writer = LateAt(writer, "wait_again", mended)
    await house.exchange.waiting.look()
    house.clock.move(HOUR_MS)
    await house.exchange.waiting.look()  # the ledger is back, and this look is first
    assert await house.seen("a-co", "post") == []  # the lead has a step owed: its turn passes
    mended.set()

    async def paid() -> bool:
        return not book.owed.waiting

    await eventually(paid)
    assert book.in_hand == set()


@pytest.mark.parametrize("step", ["keep", "offer_waiting"])
async def test_a_turn_that_failed_leaves_no_place_behind(open_quiet: OpenHouse, step: str) -> None:
    capped = {"caps": [{"spend": 40, "per": "day"}]}
    house = await open_quiet([{**CLOSED, **capped}])
    lead_id = (await send(house))["lead_id"]
    await apply_to(house, [{**FIXED, **capped}], campaign=WAITS, sellers=[SELLER])
    house.clock.move(MINUTE_MS)
    exchange = house.exchange
    offering, book = (getattr(exchange.waiting, name) for name in ("_offering", "_book"))
    if step == "keep":
        offering._counters = CountersAwayAt(offering._counters, "keep", done=True)
    else:
        book._writer = AwayAt(book._writer, "offer_waiting")
    assert await exchange.waiting.look() == 1
    caps = exchange.floor.market.orders["a"].caps
    ((_, used, _),) = await exchange.counters.peek("a-co", caps, house.clock.now_ms())
    assert used == 0
    dearer = {**FIXED, **capped, "price": {"fixed": 30}}
    await apply_to(house, [dearer], campaign=WAITS, sellers=[SELLER])
    await sold_at_next_turn(house, lead_id)
    ((_, used, _),) = await exchange.counters.peek("a-co", caps, house.clock.now_ms())
    assert used == 30_000_000


async def sold_at_next_turn(house: House, lead_id: str) -> None:
    """Once, with one offer."""
    house.clock.move(HOUR_MS)
    assert await house.exchange.waiting.look() == 1
    assert (await house.get(f"/leads/{lead_id}"))[1]["status"] == "sold"
    assert len(await house.seen("a-co", "post")) == 1
    assert len(await house.exchange.reader.read(partial(offers_of, lead_id=lead_id))) == 1


@pytest.mark.parametrize("written", [False, True])
async def test_a_ledger_that_fails_keeps_no_lead_that_nobody_was_told_of(
    open_quiet: OpenHouse, written: bool
) -> None:
    house = await open_quiet([CLOSED])
    book: Any = house.exchange.posts.book
    book._writer = AwayAt(book._writer, "take_unsold", written=written)
    status, answer = await house.post("/api/leads", LEAD)
    assert (status, answer["success"], answer["error"]) == (503, False, "Temporarily unavailable")

    async def paid() -> bool:
        return not book.owed.waiting

    await eventually(paid)
    assert await kept(house) == (0, 0, 0)
    assert (await send(house))["status"] == "pending"


async def test_a_lead_that_a_repeat_was_told_of_is_not_taken_back(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    book: Any = house.exchange.posts.book
    mended = asyncio.Event()
    book._writer = LateAt(book._writer, "take_back_unsold", mended)
    book._writer = AwayAt(book._writer, "take_unsold", written=True)
    assert (await house.post("/api/leads", LEAD, **{"idempotency-key": "k1"}))[0] == 503
    status, answer = await house.post("/api/leads", LEAD, **{"idempotency-key": "k1"})
    assert (status, answer["status"]) == (200, "pending")
    mended.set()

    async def paid() -> bool:
        return not book.owed.waiting

    await eventually(paid)
    assert (await house.get(f"/leads/{answer['lead_id']}"))[1]["status"] == "waiting"


async def test_a_repeat_with_its_key_is_one_lead(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    first = await house.post("/api/leads", LEAD, **{"idempotency-key": "k1"})
    assert await house.post("/api/leads", LEAD, **{"idempotency-key": "k1"}) == first
    link = house.exchange.link
    remembered = [key for key in await link.call("KEYS", "*") if b"keys" in key]
    assert remembered
    await link.call("DEL", *remembered)  # the ledger knows it too
    assert await house.post("/api/leads", LEAD, **{"idempotency-key": "k1"}) == first
    assert await kept(house) == (1, 1, 0)
    changed = {**LEAD, "firstName": "Bob"}
    assert (await house.post("/api/leads", changed, **{"idempotency-key": "k1"}))[0] == 409


async def test_a_lead_whose_turn_was_lost_has_another(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    await send(house)
    house.clock.move(MINUTE_MS)
    step = partial(take_due, now_ms=house.clock.now_ms(), most=9, wait_ms=wait_ms)
    assert len(await house.exchange.writer.write(step)) == 1  # by a worker that ends here
    house.clock.move(2 * MINUTE_MS)
    assert await house.exchange.waiting.look() == 1


async def test_a_turn_is_taken_when_it_begins(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    for at in range(AT_ONCE + 1):
        await send(house, phone=f"512-555-01{at:02d}")
    house.clock.move(MINUTE_MS)
    waiting: Any = house.exchange.waiting
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow(_: object) -> None:
        begun.release()
        await go_on.wait()

    waiting._tried = slow
    looking = asyncio.create_task(waiting.look())
    for _ in range(AT_ONCE):
        await asyncio.wait_for(begun.acquire(), 30)

    def taken(conn: Connection) -> int:
        return sum(row.tries for row in conn.execute(select(waits)))

    assert await house.exchange.reader.read(taken) == AT_ONCE
    go_on.set()
    assert await looking == AT_ONCE + 1


async def test_one_worker_of_all_looks(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    await send(house)
    first, second = house.exchange.waiting, another(house)
    house.clock.move(MINUTE_MS)
    assert await first.look() == 1
    assert await second.look() is None
    house.clock.move(2 * MINUTE_MS)  # the first is gone
    assert await second.look() == 1
    assert await first.look() is None


async def test_a_worker_that_leaves_leaves_the_chore(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    await send(house)
    house.clock.move(MINUTE_MS)
    waiting = house.exchange.waiting
    await waiting.look()
    waiting.start()
    await waiting.close()
    assert await another(house).look() == 0
    assert await waiting.look() is None


async def test_nobody_asks_the_ledger_where_no_lead_may_wait(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED], campaign={"pending_hours": None})
    waiting: Any = house.exchange.waiting
    assert await waiting.look() == 0
    waiting._reader = waiting._writer = None
    house.clock.move(MINUTE_MS - 1)
    assert await waiting.look() == 0


async def test_a_paused_seller_sells_nothing(open_quiet: OpenHouse) -> None:
    house = await open_quiet([CLOSED])
    lead_id = (await send(house))["lead_id"]
    await apply_to(house, [FIXED], campaign=WAITS, sellers=[{**SELLER, "paused": True}])
    house.clock.move(MINUTE_MS)
    assert await house.exchange.waiting.look() == 1
    assert house.exchange.waiting.outcomes == {("not_traded",): 1}
    lead = await house.exchange.reader.read(partial(find_lead, lead_id=lead_id))
    assert lead is not None
    assert lead.state == "waiting"


class LateAt:
    """The ledger's writer, which is slow to write `op`: not before `mended`."""

    def __init__(self, writer: Any, op: str, mended: asyncio.Event) -> None:
        self._writer = writer
        self._op = op
        self._mended = mended

    async def write(self, op: partial[Any]) -> Any:
        if op.func.__name__ == self._op:
            await self._mended.wait()
        return await self._writer.write(op)


def another(house: House) -> Waiting:
    """What another worker of the same house has."""
    exchange, mine = house.exchange, house.exchange.waiting
    return Waiting(
        lambda: exchange.floor,
        exchange.pings,
        mine._selling,
        mine._offering,
        mine._book,
        exchange.writer,
        exchange.reader,
        exchange.shelf,
        exchange._sealer,
        exchange.lease,
        house.clock,
        "another:1",
    )
