"""`Idempotency-Key` at each door: one effect, one answer, and the ledger's word where the counters lost theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec.structs import replace

from auction.api.idempotency import is_answer
from auction.api.native import _keyed
from auction.errors import SellerError
from auction.request_keys import Begun, KeyUse
from tests.api.conftest import Traces
from tests.api.wired import Answer, Wired, until, wired
from tests.house import PERSON, PING, House

OpenDoors = Callable[..., Awaitable[House]]
DIRECT = {**PING, "lead": {**PING["lead"], **PERSON}}


def posting(ping_id: str, **person: Any) -> dict[str, Any]:
    return {"ping_id": ping_id, "lead": {**PERSON, **person}}


async def send(line: Wired, path: str, body: object, key: str | None = "k1", **headers: str) -> Answer:
    more = [b"content-type: application/json"]
    more += [] if key is None else [b"idempotency-key: %b" % key.encode("latin-1")]
    more += [f"{name}: {value}".encode() for name, value in headers.items()]
    return await line.send(path, msgspec.json.encode(body), headers=more)


async def body_of(door: str, line: Wired) -> dict[str, Any]:
    if door != "/post":
        return PING if door == "/ping" else DIRECT
    return posting((await send(line, "/ping", PING, None)).json["ping_id"])


DOORS = pytest.mark.parametrize("door", ["/ping", "/post", "/direct"])


@DOORS
async def test_the_same_request_gets_the_same_answer_for_a_day(house: House, line: Wired, door: str) -> None:
    body = await body_of(door, line)
    first = await send(line, door, body)
    assert first.status == 200
    assert "idempotent-replayed" not in first.headers
    again = await send(line, door, dict(reversed(body.items())))  # keys in another order: the same request
    assert (again.status, again.json) == (200, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "server-timing" not in again.headers
    house.clock.move(86_400_000)
    assert (await send(line, door, body)).json == first.json
    assert len(await house.seen("a-co", "ping")) == 1
    assert len(await house.seen("a-co", "post")) == (door != "/ping")


@DOORS
async def test_the_key_with_another_body_is_a_conflict_and_does_nothing(
    house: House, line: Wired, traces: Traces, door: str
) -> None:
    body = await body_of(door, line)
    await send(line, door, body)
    before = await traces.taken()
    changed = {**body, "lead": {**body["lead"], "bill": 5}}
    for path, other in ((door, changed), ("/ping" if door == "/direct" else "/direct", DIRECT)):
        answer = await send(line, path, other)
        assert (answer.status, answer.code) == (409, "idempotency_conflict")
        assert "retry-after" not in answer.headers
    assert await traces.taken() == before


async def test_a_key_of_a_post_is_that_pings_alone(house: House, line: Wired) -> None:
    pings = [await house.ping(sub_id=str(number)) for number in range(2)]
    assert (await send(line, "/post", posting(pings[0]["ping_id"]))).json["status"] == "sold"
    other = await send(line, "/post", posting(pings[1]["ping_id"]))
    assert (other.status, other.code) == (409, "idempotency_conflict")
    assert (await send(line, "/post", posting(pings[1]["ping_id"]), "k2")).json["status"] == "sold"


async def test_another_seller_may_use_the_same_key(line: Wired) -> None:
    first = await send(line, "/ping", PING)
    body = msgspec.json.encode(PING)
    headers = [b"content-type: application/json", b"idempotency-key: k1"]
    rival = await line.send("/ping", body, key=b"x-api-key: rival-key\r\n", headers=headers)
    assert rival.json["ping_id"] != first.json["ping_id"]
    assert "idempotent-replayed" not in rival.headers


@pytest.mark.parametrize(
    ("door", "body", "status"),
    [
        ("/ping", {**PING, "lead": {"state": "Texass"}}, 422),
        ("/ping", {"campaign": "solar", "tmx": 1}, 422),
        ("/ping", {**PING, "campaign": "none"}, 404),
        ("/ping", {**PING, "campaign": "roofing"}, 403),
        ("/post", posting("none"), 404),
        ("/post", {"lead": {}}, 422),
        ("/direct", PING, 422),
    ],
)
async def test_what_is_wrong_with_a_request_is_its_answer_too(
    line: Wired, door: str, body: dict[str, Any], status: int
) -> None:
    first, again = [await send(line, door, body) for _ in range(2)]
    assert first.status == again.status == status
    assert first.json == again.json
    assert again.headers["content-type"] == "application/problem+json"
    assert ("idempotent-replayed" in first.headers, "idempotent-replayed" in again.headers) == (False, True)


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (SellerError(422, "bad_fields", ""), True),
        (SellerError(410, "offer_expired", ""), True),
        (SellerError(409, "used_ping", ""), True),
        (SellerError(409, "post_in_progress", "", headers=[("retry-after", "1")]), False),
        (SellerError(401, "unknown_key", ""), False),
        (SellerError(408, "too_slow", ""), False),
        (SellerError(429, "rate_limited", ""), False),
    ],
)
def test_what_says_only_not_now_is_no_answer(error: SellerError, kept: bool) -> None:
    assert is_answer(error) is kept


async def test_a_request_that_was_refused_for_now_may_come_again(open_doors: OpenDoors) -> None:
    """Above the rate limit; by a full house; with a store away."""
    house = await open_doors()
    async with wired(house.url) as line:
        limited = b"x-api-key: limited-key\r\n"
        headers = [b"content-type: application/json", b"idempotency-key: k1"]
        for number in range(3):
            body = msgspec.json.encode({**PING, "sub_id": str(number)})
            assert (await line.send("/ping", body, key=limited, headers=headers[:1])).status == 200
        for _ in range(2):
            answer = await line.send("/ping", msgspec.json.encode(PING), key=limited, headers=headers)
            assert (answer.status, "idempotent-replayed" in answer.headers) == (429, False)
        house.clock.move(60_000)
        answer = await line.send("/ping", msgspec.json.encode(PING), key=limited, headers=headers)
        assert (answer.status, "idempotent-replayed" in answer.headers) == (200, False)
        pings: Any = house.exchange.pings
        pings._most_auctions, most = 0, pings._most_auctions
        assert (await send(line, "/ping", PING)).code == "house_full"
        pings._most_auctions = most
        assert (await send(line, "/ping", PING)).json["status"] == "offer"


async def test_a_full_store_of_keys_refuses_pings_and_no_sale(open_doors: OpenDoors) -> None:
    house = await open_doors(settings={"most_request_keys": 2})
    async with wired(house.url) as line:
        for number in range(2):
            assert (await send(line, "/ping", PING, f"k{number}")).status == 200
        refused = await send(line, "/ping", PING, "k2")
        assert (refused.status, refused.code) == (429, "too_many_keys")
        assert int(refused.headers["retry-after"]) == 86_400
        assert (await send(line, "/ping", PING, None)).status == 200
        for _ in range(2):
            sold = await send(line, "/direct", DIRECT, "k3")
            assert sold.json["status"] == "sold"
        assert sold.headers["idempotent-replayed"] == "true"
        assert len(await house.seen("a-co", "post")) == 1


@pytest.mark.parametrize("door", ["/post", "/direct"])
async def test_the_ledger_answers_where_the_counters_lost_the_key(
    house: House, line: Wired, door: str
) -> None:
    body = await body_of(door, line)
    first = await send(line, door, body)
    await house.exchange.writer.flush()
    await lose_counters(house)
    again = await send(line, door, body)
    assert (again.status, again.json) == (200, first.json)
    await lose_counters(house)
    other = await send(line, door, {**body, "lead": {**body["lead"], "first_name": "Bob"}})
    assert (other.status, other.code) == (409, "used_ping" if door == "/post" else "idempotency_conflict")
    assert len(await house.seen("a-co", "post")) == 1


async def lose_counters(house: House) -> None:
    """All that they know, and the house has noticed and told them again what the ledger knows."""
    rebuilt = house.exchange.rebuilding.rebuilds
    await house.exchange.link.call("FLUSHALL")
    await until(lambda: house.exchange.rebuilding.rebuilds > rebuilt and house.exchange.link.up)


@DOORS
async def test_a_key_whose_worker_died_is_waited_for_and_free_after_its_lease(
    open_doors: OpenDoors, door: str
) -> None:
    """The wait is within the ping's `tmax`; beyond it, the seller is told to come again."""
    house = await open_doors(settings={"post_wait_ms": 600}, auction={"tmax_ms": 600})
    async with wired(house.url) as line:
        body = await body_of(door, line)
        idempotency: Any = house.exchange.idempotency
        seller = house.exchange.seller_of("test-key")
        use: KeyUse = idempotency._use(_keyed(door[1:], seller, body, "k1", 0.0, 0, 0))
        dead = replace(use, owner="dead")
        assert await idempotency._keys.begin(dead, house.clock.now_ms(), 10_000) == Begun()
        began_s = perf_counter()
        told = await send(line, door, body)
        assert perf_counter() - began_s < 5, "as long as it was told to, and not ten seconds"
        assert (told.status, told.code) == (409, "request_in_progress")
        assert told.headers["retry-after"] == "1"
        house.clock.move(10_001)
        assert (await send(line, door, body)).json["status"] == ("offer" if door == "/ping" else "sold")
        assert not await idempotency._keys.end(dead, house.clock.now_ms(), b"late")


@DOORS
async def test_fifty_at_once_are_one_request(open_doors: OpenDoors, door: str) -> None:
    manners = {"a-co": {"bid": {"price": 30}, "latency_ms": 100, "post": {"latency_ms": 100}}}
    house = await open_doors(manners=manners)
    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(wired(house.url)) for _ in range(50)]
        body = await body_of(door, lines[0])
        asked = len(await house.seen("a-co", "ping"))
        answers = await asyncio.gather(*(send(line, door, body) for line in lines))
    assert {answer.status for answer in answers} == {200}
    assert all(answer.json == answers[0].json for answer in answers)
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 49
    assert len(await house.seen("a-co", "ping")) == asked + (door != "/post")
    assert len(await house.seen("a-co", "post")) == (door != "/ping")


@pytest.mark.parametrize("key", ["", "x" * 129, "tab\tinside"])
async def test_a_key_that_is_none_is_named(line: Wired, key: str) -> None:
    answer = await send(line, "/ping", PING, key)
    assert (answer.status, answer.fields) == (422, ["Idempotency-Key"])


async def test_without_a_key_nothing_is_kept_and_nothing_asked(house: House, line: Wired) -> None:
    body = await body_of("/post", line)
    for path, sent in (("/post", body), ("/direct", DIRECT), ("/ping", {**PING, "sub_id": "2"})):
        assert (await send(line, path, sent, None)).status == 200
    assert await house.exchange.link.call("KEYS", "*keys*") == []
    assert house.exchange.idempotency.outcomes == {}


async def test_metrics_count_what_became_of_keys(house: House, line: Wired) -> None:
    for body in (PING, PING, {**PING, "sub_id": "2"}):
        await send(line, "/ping", body)
    async with aiohttp.ClientSession() as session, session.get(f"{house.url}/metrics") as response:
        told = await response.text()
    for outcome in ("kept", "replayed", "conflict"):
        assert f'auction_keyed_requests_total{{outcome="{outcome}"}} 1.0' in told
