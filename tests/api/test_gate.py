"""The gate before the doors, with real sockets: who waits for a turn, who is refused, and what the refused are told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from time import perf_counter
from typing import Any

import msgspec
import pytest

from auction.api.admission import FULL, LEADS, MOST_PER_TURN, PER_TURN, PINGS
from auction.api.gate import arrived
from tests.api.conftest import OpenDoors
from tests.api.fronted import answer, echo, fronted
from tests.api.gated import HELD, ONE, PING_HEAD, Doors, refusing
from tests.api.test_metrics import scraped
from tests.api.wired import Answer, Wired, until, wired
from tests.house import PERSON, PING, House


async def test_a_house_that_is_late_refuses_and_goes_on() -> None:
    """Two hundred clients ask a slow house as fast as they can: what it lets in is little at a time, it refuses
    others after a while, everybody has an answer, and doors that are in no lane are open."""
    doors, statuses = Doors(), Counter[int]()
    running = most = 0

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            sum(range(20_000))  # what makes it slow: half a millisecond
            await asyncio.sleep(0)
        running -= 1
        await answer(send, b"{}")

    async def client(line: Wired) -> None:
        while not (stop.is_set() and statuses[503]):
            line.write(ONE)
            told = await line.answer()
            statuses[told.status] += 1
            if told.status == 503:
                assert (told.code, told.headers["retry-after"]) == ("overloaded", "1")

    stop = asyncio.Event()
    async with fronted(slow, gate=doors.gate) as served:
        clients: list[asyncio.Task[None]] = []

        async def connect() -> None:
            async with served.line() as line:
                await client(line)

        clients = [asyncio.create_task(connect()) for _ in range(200)]
        async with served.line() as other:
            await until(lambda: statuses[503] > 200, within_s=60)
            assert (await other.send("/healthz", b"{}")).status == 200
            stop.set()
            async with asyncio.timeout(60):
                await asyncio.gather(*clients)
            other.write(ONE)
            assert (await other.answer()).status == 200
    assert most <= 4 * MOST_PER_TURN, "who has begun is soon through"
    assert statuses[200] > PINGS.lasting_s / 0.0015 / 20, "it went on"
    assert statuses.keys() == {200, 503}
    assert doors.told == {("/ping", 503): statuses[503]}
    assert sum(doors.pings.refused.values()) == statuses[503]


async def test_many_requests_at_once_on_one_connection_are_refused_one_by_one() -> None:
    doors = refusing()
    async with fronted(echo, gate=doors.gate) as served, served.line() as line:
        line.write(ONE * 2_000)
        for _ in range(2_000):
            assert (await line.answer()).code == "overloaded"
        line.write(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await line.answer()).status == 200, (
            "the connection is as it was, and another method has no lane"
        )
    assert doors.pings.refused[FULL] == 2_000


async def test_a_refused_body_is_dropped_and_the_next_request_read() -> None:
    doors = refusing()
    async with fronted(echo, gate=doors.gate) as served, served.line() as line:
        line.write(PING_HEAD + b"content-length: 100000\r\n\r\nxx")
        assert (await line.answer()).status == 503
        line.write(b"x" * 99_998, b"POST /other HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
        assert (await line.answer()).json["body"] == "abc"


@pytest.mark.parametrize(
    "head",
    [
        PING_HEAD + b"expect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        PING_HEAD + b"connection: close\r\ncontent-length: 0\r\n\r\n",
        b"POST /ping HTTP/1.0\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_who_would_not_send_on_is_told_so_and_the_connection_closed(head: bytes) -> None:
    doors = refusing()
    async with fronted(echo, gate=doors.gate) as served, served.line() as line:
        line.write(head)
        told = await line.answer()
        assert (told.status, told.headers["connection"]) == (503, "close")
        assert await line.closed()


async def test_whoever_waits_begins_in_turn_and_its_wait_is_part_of_its_time() -> None:
    doors = Doors()
    waits_s: list[float] = []

    async def timed(scope: Any, receive: Any, send: Any) -> None:
        waits_s.append(perf_counter() - arrived(scope))
        await answer(send, b"{}")

    doors.hold()
    async with fronted(timed, gate=doors.gate) as served, served.line() as one, served.line() as two:
        began_s = perf_counter()
        one.write(ONE)
        await until(lambda: len(doors.pings.lines) == 1)
        came_s = perf_counter()
        two.write(b"POST /post HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        await until(lambda: len(doors.gate.admission.lanes[0].lines) == 1)
        assert not waits_s
        doors.calls = LEADS.most_calls - 1
        assert (await two.answer()).status == 200, "whole leads go on for longer"
        assert len(waits_s) == 1
        released_s = perf_counter()
        doors.calls = 0
        assert (await one.answer()).status == 200
        assert released_s - came_s <= waits_s[1] <= perf_counter() - began_s
    assert [lane.waited for lane in doors.gate.admission.lanes] == [1, 1]


async def test_who_has_gone_meanwhile_never_begins() -> None:
    doors, asked = Doors(), []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await answer(send, b"{}")

    doors.hold()
    async with fronted(noting, gate=doors.gate) as served:
        async with served.line() as gone:
            gone.write(ONE)
            await until(lambda: len(doors.pings.lines) == 1)
            sock = gone.writer.get_extra_info("socket")
            # it ends with a reset
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with served.line() as line:
            line.write(ONE)
            await until(lambda: len(doors.pings.lines) == 2)
            await until(lambda: any(one._lost for one in served.front._connections))
            doors.calls = 0
            assert (await line.answer()).status == 200
            assert asked == ["/ping"]
            await until(lambda: len(served.front._connections) == 1)


async def test_a_house_that_closes_answers_those_who_wait() -> None:
    doors = Doors()
    doors.hold()
    async with fronted(echo, gate=doors.gate) as served, served.line() as line:
        line.write(ONE)
        await until(lambda: len(doors.pings.lines) == 1)
        ending = asyncio.create_task(served.front.stop(10))
        await until(lambda: served.front.stopping)
        doors.calls = 0
        told = await line.answer()
        assert (told.status, told.headers["connection"]) == (200, "close")
        await ending


# -- the whole house -----------------------------------------------------------------------------------

ORDERS = [{"id": "a", "buyer": "a-co"}]
MANNERS = {"a-co": {"bid": {"price": 30}}}
DOORS = {
    "/ping": ("application/problem+json", "code", "overloaded"),
    "/api/v1/ping": ("application/problem+json", "code", "overloaded"),
    "/post": ("application/problem+json", "code", "overloaded"),
    "/direct": ("application/problem+json", "code", "overloaded"),
    "/api/v1/ingest": ("application/problem+json", "code", "overloaded"),
    "/api.php": ("application/json", "reason", "overloaded"),
    "/api/leads": ("application/json", "error", "Temporarily unavailable"),
}


def shut(house: House) -> None:
    """Nobody may wait at this house's gate, and nobody begins."""
    gate = house.app.gate
    gate._calls, gate.admission.free = lambda: HELD, 0
    for lane in gate.admission.lanes:
        lane.bounds = msgspec.structs.replace(lane.bounds, most_waiting=0)


@pytest.fixture
async def house(open_doors: OpenDoors) -> House:
    return await open_doors(ORDERS, MANNERS)


@pytest.mark.parametrize("path", DOORS)
async def test_every_door_refuses_in_its_own_words(house: House, line: Wired, path: str) -> None:
    shut(house)
    told: Answer = await line.send(path, b"{}")
    kind, name, word = DOORS[path]
    assert (told.status, told.headers["content-type"], told.json[name]) == (503, kind, word)
    assert told.headers["retry-after"] == "1"
    lane = "pings" if path.endswith("ping") else "leads"
    counted = await scraped(house)
    assert counted["auction_overload_refused_total"][frozenset({lane, FULL})] == 1.0
    assert counted["auction_http_responses_total"][frozenset({path[1:], "5xx"})] == 1.0


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/admin/campaigns", "/leads/x"]
)
async def test_the_quiet_doors_are_open_all_the_time(house: House, path: str) -> None:
    shut(house)
    for _ in range(2 * PER_TURN):
        async with house._session.get(house.url + path) as told:
            assert told.status != 503


async def test_a_ping_whose_time_is_up_when_its_turn_comes_is_refused(house: House, line: Wired) -> None:
    gate = house.app.gate
    gate._calls, gate.admission.free = lambda: HELD, 0
    line.write(b"")
    sent = asyncio.create_task(house.post("/ping", {**PING, "tmax": 50}))
    await until(lambda: len(gate.admission.lanes[1].lines) == 1)
    await asyncio.sleep(0.06)
    gate._calls = lambda: 0
    status, told = await sent
    assert (status, told["code"]) == (503, "overloaded")
    assert house.exchange.pings.too_late == 1
    assert (await house.ping())["status"] == "offer"


async def test_a_post_that_waited_is_sold(house: House) -> None:
    offer = await house.ping()
    gate = house.app.gate
    gate._calls, gate.admission.free = lambda: HELD, 0
    sent = asyncio.create_task(
        house.post("/post", {"ping_id": offer["ping_id"], "lead": {**PING["lead"], **PERSON}})
    )
    await until(lambda: len(gate.admission.lanes[0].lines) == 1)
    gate._calls = lambda: 0
    assert (await sent)[1]["status"] == "sold"


async def test_a_script_in_a_browser_can_read_that_it_was_refused(open_doors: OpenDoors) -> None:
    house = await open_doors(ORDERS, MANNERS, settings={"allow_origins": "https://forms.example"})
    shut(house)
    async with wired(house.url) as line:
        sent = (b"content-type: application/json", b"origin: https://forms.example")
        told = await line.send("/ping", b"{}", headers=sent)
        assert (told.status, told.code) == (503, "overloaded")
        assert told.headers["access-control-allow-origin"] == "https://forms.example"
        assert (await line.send("/ping", b"{}")).code == "overloaded"
    counted = await scraped(house)
    assert counted["auction_http_responses_total"][frozenset({"ping", "5xx"})] == 2.0
