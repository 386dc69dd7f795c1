"""Posts that fail before anything was offered: the same post sells afterwards, once, whatever was half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from auction.ledger.schema import fingerprints, leads, offers, sales
from auction.ledger.taking import take_lead
from auction.post.claiming import LEASE_MS
from tests.faults.breaking import AwayAt, CountersAwayAt, eventually
from tests.house import PERSON, House, open_house

ORDERS = [{"id": "a", "buyer": "a-co", "price": {"fixed": 30}}]
DUPLICATES = {"duplicates": {"fields": ["phone"], "days": 30}}


@pytest.fixture
async def house(tmp_path: Path, emptied_valkey: str, sqlite_ledger: str) -> AsyncIterator[House]:
    """One order; a lead may come once in 30 days; an offer stands for an hour."""
    terms: dict[str, Any] = {"campaign": DUPLICATES, "auction": {"hold_s": 3_600}}
    async with open_house(tmp_path, emptied_valkey, sqlite_ledger, ORDERS, **terms) as house:
        yield house
        assert house.app.bugs == 0


async def post(house: House, ping_id: str, **person: Any) -> tuple[int, dict[str, Any]]:
    return await house.post("/post", {"ping_id": ping_id, "lead": {**PERSON, **person}})


async def kept(house: House) -> dict[str, int]:
    """Rows in each table of leads."""

    def count(conn: Connection) -> dict[str, int]:
        return {
            table.name: len(conn.execute(select(table)).all())
            for table in (leads, offers, sales, fingerprints)
        }

    return await house.exchange.reader.read(count)


async def sold_once(house: House, ping_id: str) -> None:
    """The same post, again and again until it is taken: one lead, one offer, one sale."""

    async def taken() -> bool:
        status, answer = await post(house, ping_id)
        assert (status, answer.get("code")) in ((200, None), (409, "post_in_progress")), answer
        return status == 200

    await eventually(taken)
    status, answer = await post(house, ping_id)
    assert (status, answer["status"]) == (200, "sold")
    await settled(house)
    assert await kept(house) == {"leads": 1, "offers": 1, "sales": 1, "fingerprints": 1}
    assert len(await house.seen("a-co", "post")) == 1


async def settled(house: House) -> None:
    """Nothing is owed any more."""

    async def paid() -> bool:
        posts = house.exchange.posts
        return not posts.book.owed.waiting and not posts.claiming.owed.waiting

    await eventually(paid)
    await house.exchange.writer.flush()


def break_ledger(house: House, op: str, **how: Any) -> None:
    posts: Any = house.exchange.posts
    posts.book._writer = AwayAt(posts.book._writer, op, **how)


def break_counters(house: House, step: str, **how: Any) -> None:
    posts: Any = house.exchange.posts
    posts.claiming._counters = posts._offering._counters = CountersAwayAt(
        posts.claiming._counters, step, **how
    )


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("fails_to_take_back", [0, 3])
async def test_an_intent_that_may_have_been_written(
    house: House, written: bool, fails_to_take_back: int
) -> None:
    offer = await house.ping()
    break_ledger(house, "take_lead", written=written)
    break_ledger(house, "take_back", times=fails_to_take_back)
    status, answer = await post(house, offer["ping_id"])
    assert (status, answer["code"]) == (503, "ledger_unavailable")
    assert await house.seen("a-co", "post") == []
    await sold_once(house, offer["ping_id"])


async def test_an_intent_that_stands_is_in_nobodys_way_for_longer_than_it_must(house: House) -> None:
    """While the ledger will not take it back, a repeat hears 409 and holds no claim; another body, what it is."""
    offer = await house.ping()
    break_ledger(house, "take_lead", written=True)
    break_ledger(house, "take_back", times=10**9)
    assert (await post(house, offer["ping_id"]))[0] == 503
    for _ in range(3):
        async with asyncio.timeout(8):  # and not for ten seconds
            status, answer = await post(house, offer["ping_id"])
        assert (status, answer["code"]) == (409, "post_in_progress")
    assert (await post(house, offer["ping_id"], first_name="Bob"))[1]["code"] == "used_ping"
    posts: Any = house.exchange.posts
    posts.book._writer._times = 0
    await sold_once(house, offer["ping_id"])


async def test_an_intent_that_is_never_posted_again_is_taken_back_all_the_same(house: House) -> None:
    """So it neither makes another lead a duplicate nor waits to be settled for ever."""
    offer = await house.ping()
    break_ledger(house, "take_lead", written=True)
    assert (await post(house, offer["ping_id"]))[0] == 503
    await settled(house)
    assert await kept(house) == {"leads": 0, "offers": 0, "sales": 0, "fingerprints": 0}
    another = await house.ping(sub_id="another")
    assert (await house.sell(another["ping_id"]))["status"] == "sold"


@pytest.mark.parametrize("done", [False, True])
async def test_a_claim_that_may_have_been_made(house: House, done: bool) -> None:
    offer = await house.ping()
    break_counters(house, "claim", done=done)
    status, answer = await post(house, offer["ping_id"])
    assert (status, answer["code"]) == (503, "counters_unavailable")
    await sold_once(house, offer["ping_id"])


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("voided", [False, True])
async def test_places_that_may_have_been_kept(house: House, done: bool, voided: bool) -> None:
    """Everything fails at once: the place, taking the intent out again, giving up the claim."""
    offer = await house.ping()
    break_counters(house, "keep", done=done)
    break_counters(house, "unclaim", times=2, done=done)
    break_ledger(house, "void_lead", written=voided)
    status, answer = await post(house, offer["ping_id"])
    assert (status, answer["code"]) == (503, "counters_unavailable")
    assert await house.seen("a-co", "post") == []
    await sold_once(house, offer["ping_id"])


async def test_a_refused_post_says_why_though_its_claim_cannot_be_given_up_at_once(house: House) -> None:
    offer = await house.ping()
    break_counters(house, "unclaim", times=3)
    status, answer = await post(house, offer["ping_id"], phone="1")
    assert (status, answer["code"]) == (422, "bad_fields")
    await sold_once(house, offer["ping_id"])


async def test_a_claim_whose_worker_died_is_taken_over_when_its_lease_is_out(house: House) -> None:
    offer = await house.ping()
    counters, now_ms = house.exchange.counters, house.clock.now_ms()
    await counters.claim(offer["ping_id"], "dead", b"another body", now_ms, LEASE_MS)
    posts: Any = house.exchange.posts
    posts.claiming._wait_s = 0.1
    status, answer = await post(house, offer["ping_id"])
    assert (status, answer["code"]) == (409, "post_in_progress")
    house.clock.move(LEASE_MS + 1)
    await sold_once(house, offer["ping_id"])


async def test_a_claim_whose_worker_died_does_not_outlive_the_offer(house: House) -> None:
    offer = await house.ping()
    counters, now_ms = house.exchange.counters, house.clock.now_ms()
    await counters.claim(offer["ping_id"], "dead", b"body", now_ms, LEASE_MS)
    house.clock.move(3_600_001)
    status, answer = await post(house, offer["ping_id"])
    assert (status, answer["code"]) == (410, "offer_expired")


async def test_of_two_posts_that_both_think_they_have_the_claim_one_sells(house: House) -> None:
    """A worker that slept through its lease between its claim and its intent wakes up: the ledger takes one lead."""
    offer = await house.ping()
    posts: Any = house.exchange.posts
    write, asleep, awake = posts.book._writer.write, asyncio.Event(), asyncio.Event()

    class Sleepy:
        async def write(self, op: Callable[..., Any]) -> Any:
            if getattr(op, "func", None) is take_lead and not asleep.is_set():
                asleep.set()
                await awake.wait()
            return await write(op)

    posts.book._writer = Sleepy()
    first = asyncio.create_task(post(house, offer["ping_id"]))
    await asleep.wait()
    house.clock.move(LEASE_MS + 1)
    second = await post(house, offer["ping_id"])
    awake.set()
    assert await first == second
    assert second[1]["status"] == "sold"
    await sold_once(house, offer["ping_id"])


async def test_counters_that_forgot_a_post_sell_nothing_twice(house: House) -> None:
    """Their last second may be lost with the machine: the ping is open again, and the ledger knows better."""
    offer = await house.ping()
    link, key = house.exchange.link, f"{{ping:{offer['ping_id']}}}"
    before = await link.call("DUMP", key)
    sale = await house.sell(offer["ping_id"])
    await link.call("RESTORE", key, 0, before, "REPLACE")
    status, answer = await post(house, offer["ping_id"], first_name="Bob")
    assert (status, answer["code"]) == (409, "used_ping")
    for _ in range(2):
        assert await house.sell(offer["ping_id"]) == sale
    await sold_once(house, offer["ping_id"])
