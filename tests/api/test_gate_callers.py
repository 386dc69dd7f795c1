"""The gate is fair to each caller: a flood of one costs another nothing, nor does a bug that one request meets."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import msgspec
import pytest

from auction.api.admission import PER_TURN, PINGS, Lane
from auction.api.request import Request
from auction.api.wire import headers_of, key_of
from tests.api.conftest import OpenDoors
from tests.api.fronted import answer, echo, fronted
from tests.api.gated import HELD, ONE, PING_HEAD, Doors
from tests.api.test_metrics import scraped
from tests.api.wired import Wired, request, until, wired
from tests.house import PING


def one_of(key: str) -> bytes:
    """A ping with this key."""
    return PING_HEAD + b"x-api-key: %b\r\ncontent-length: 2\r\n\r\n{}" % key.encode()


def waits(lane: Lane[Request], came: int) -> bool:
    """Whether so many have come, of whom those wait who are not refused."""
    return len(lane.lines) + sum(lane.refused.values()) == came


async def keyed(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the key that it was sent."""
    await answer(send, msgspec.json.encode(key_of(headers_of(scope))))


async def test_nobody_is_looked_up_while_nobody_waits() -> None:
    doors = Doors()
    async with fronted(echo, gate=doors.gate) as served, served.line() as line:
        for _ in range(3 * PER_TURN):
            line.write(ONE)
            assert (await line.answer()).status == 200
        assert doors.looked_up == 0
        doors.hold()
        line.write(ONE)
        await until(lambda: len(doors.pings.lines) == 1)
        assert doors.looked_up == 1
        doors.calls = 0
        assert (await line.answer()).status == 200


async def test_who_comes_after_a_crowd_of_another_begins_in_the_next_turn() -> None:
    doors, begun = Doors(), list[str]()

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        begun.append(key_of(headers_of(scope)) or "")
        await keyed(scope, receive, send)

    doors.hold()
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(fronted(noting, gate=doors.gate))
        crowd = [await stack.enter_async_context(served.line()) for _ in range(60)]
        for line in crowd:
            line.write(one_of("crowd"))
        await until(lambda: len(doors.pings.lines) == 60)
        few = [await stack.enter_async_context(served.line()) for _ in range(3)]
        for line in few:
            line.write(one_of("few"))
        await until(lambda: len(doors.pings.lines) == 63)
        assert doors.pings.lines.callers == 2
        doors.calls = 0
        for line in (*few, *crowd):
            assert (await line.answer()).status == 200
    assert begun.index("few") <= 1
    assert begun[:6].count("few") == 3
    assert len(begun) == 63


async def test_a_flood_is_refused_and_who_sends_little_never() -> None:
    """A hundred clients of one caller ask as fast as they can, of another one: turns are counted, not time."""
    doors = Doors(msgspec.structs.replace(PINGS, most_waiting=20, late_s=1e9))
    statuses, told = Counter[int](), Counter[int]()

    async def flood(line: Wired) -> None:
        while not stop.is_set():
            line.write(one_of("flood"))
            statuses[(await line.answer()).status] += 1

    stop = asyncio.Event()
    doors.hold()
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(fronted(keyed, gate=doors.gate))
        lines = [await stack.enter_async_context(served.line()) for _ in range(100)]
        clients = [asyncio.create_task(flood(line)) for line in lines]
        await until(lambda: statuses[503] > 200, within_s=60)
        modest = await stack.enter_async_context(served.line())
        modest.write(one_of("modest"))
        await until(lambda: doors.pings.lines.callers == 2)
        assert len(doors.pings.lines) == 20
        doors.calls = 0
        told[(await modest.answer()).status] += 1
        for _ in range(60):
            doors.hold()  # so that it always has to wait, among as many of the flood as there is room for
            await until(lambda: len(doors.pings.lines) == 20)
            modest.write(one_of("modest"))
            await until(lambda: doors.pings.lines.callers == 2)
            doors.calls = 0
            told[(await modest.answer()).status] += 1
        stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*clients)
    assert told == {200: 61}
    assert statuses[200] > 0
    assert sum(doors.pings.refused.values()) == statuses[503]


@pytest.mark.parametrize("begins", [True, False], ids=["that begins", "that is refused"])
async def test_a_bug_that_one_request_meets_costs_the_others_of_its_turn_nothing(
    begins: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    doors = Doors()
    name = "begin" if begins else "refuse"
    works = getattr(Request, name)

    def breaks(request: Request, *told: bytes) -> None:
        if key_of(headers_of(request.scope)) == "bad":
            raise RuntimeError
        works(request, *told)

    monkeypatch.setattr(Request, name, breaks)
    doors.hold()
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(fronted(keyed, gate=doors.gate))
        lines = [await stack.enter_async_context(served.line()) for _ in range(5)]
        for number, (line, key) in enumerate(zip(lines, ("a", "bad", "b", "bad", "c"), strict=True)):
            line.write(one_of(key))
            await until(partial(waits, doors.pings, number + 1))
        if begins:
            doors.calls = 0
        else:
            doors.pings.shedding, doors.pings.bounds = True, msgspec.structs.replace(PINGS, late_s=-1.0)
        for line in lines[::2]:
            assert (await line.answer()).status == (200 if begins else 503)
        for line in lines[1::2]:
            assert await line.closed()
        await until(lambda: len(served.front._connections) == 3)
        doors.calls, doors.pings.bounds = 0, PINGS
        await until(lambda: doors.gate.admission.free > 0)
        lines[0].write(one_of("a"))
        assert (await lines[0].answer()).status == 200, "and the gate goes on"
    assert [entry.getMessage() for entry in caplog.records] == ["gate_broke"] * 2


async def test_a_seller_that_floods_is_refused_and_another_has_its_offers(open_doors: OpenDoors) -> None:
    """Both keys are in the head; wrong keys together are one caller more, and refused before it."""
    house = await open_doors()
    gate = house.app.gate
    pings = gate.admission.lanes[1]
    pings.bounds = msgspec.structs.replace(PINGS, most_waiting=30, late_s=1e9)
    gate._calls, gate.admission.free = lambda: HELD, 0
    async with AsyncExitStack() as stack:
        sent: dict[str, list[Wired]] = {"test-key": [], "wrong": [], "rival-key": []}
        for key, times in (("test-key", 25), ("wrong", 25), ("rival-key", 4)):
            for number in range(times):
                one = await stack.enter_async_context(wired(house.url))
                name = key if key != "wrong" else f"wrong-{number}"
                body = msgspec.json.encode({**PING, "sub_id": f"{key}-{number}"})
                one.write(request("/ping", body, key=f"x-api-key: {name}\r\n".encode()))
                sent[key].append(one)
            came = sum(map(len, sent.values()))
            await until(partial(waits, pings, came))
        assert (pings.lines.callers, len(pings.lines)) == (3, 30)
        counted = await scraped(house)
        assert counted["auction_gate_callers"][frozenset()] == 3.0
        gate._calls = lambda: 0
        told = {key: Counter([(await one.answer()).status for one in ones]) for key, ones in sent.items()}
    assert told == {"test-key": {200: 13, 503: 12}, "wrong": {401: 13, 503: 12}, "rival-key": {200: 4}}
