"""The front's bounds: how many, how long, and how it closes."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvloop

from auction.api.front import FrontLimits
from tests.api.fronted import Fronted, Shut, echo, fronted
from tests.api.wired import until

GET = b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n"
HEAD = b"POST /ping HTTP/1.1\r\nhost: x\r\n"


async def test_one_connection_too_many_is_told_so_and_the_others_are_served() -> None:
    async with fronted(echo, FrontLimits(connections=2, sweep_s=0.02)) as served:
        async with served.line() as first, served.line() as second:
            for line in (first, second):
                line.write(GET)
                assert (await line.answer()).status == 200
            async with served.line() as third, served.line() as fourth, served.line() as fifth:
                assert (await fourth.answer()).status == 503
                assert await fifth.closed(), "so many are not even told"
                told = await third.answer()
                assert (told.status, told.code) == (503, "house_full")
                assert told.headers["retry-after"] == "1"
                third.write(GET)
                assert await third.closed()
            second.write(GET)
            assert (await second.answer()).status == 200
        await until(lambda: not served.front._connections)
        async with served.line() as line:
            line.write(GET)
            assert (await line.answer()).status == 200
    counted = {family.name: family.values for family in served.front.families()}
    assert counted["auction_http_connected"] == [((), 6)]
    assert counted["auction_http_connections"] == [((), 0)]
    assert counted["auction_http_refused"] == [(("connections",), 3)]


@pytest.mark.parametrize(
    ("start", "now_and_then", "why"),
    [
        (b"P", b"", "slow_head"),
        (HEAD, b"x", "slow_head"),
        (GET + b"GET /", b"x", "slow_head"),
        (HEAD + b"content-length: 9\r\n\r\n", b"", "slow_body"),
        (HEAD + b"content-length: 9\r\n\r\nabc", b"x", "slow_body"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n9\r\nab", b"x", "slow_body"),
    ],
)
async def test_a_slow_sender_is_given_up(start: bytes, now_and_then: bytes, why: str) -> None:
    """Also one that sends a byte now and then: what counts is when the request is whole."""
    limits = FrontLimits(head_s=0.6, body_s=0.6, least_per_s=1e6, sweep_s=0.02)
    async with fronted(echo, limits) as served, served.line() as line, served.line() as quick:
        began_s = time.monotonic()
        line.write(start)
        if start.startswith(GET):
            assert (await line.answer()).status == 200
        for _ in range(5):
            await asyncio.sleep(0.02)
            line.write(now_and_then)
        quick.write(GET)
        assert (await quick.answer()).status == 200
        told = await line.answer()
        assert (told.status, told.code, told.headers["connection"]) == (408, "too_slow", "close")
        assert 0.55 < time.monotonic() - began_s < 5
        assert await line.closed()
        assert served.front.refused == {why: 1}


async def test_a_body_has_as_long_as_it_takes_at_a_fair_rate() -> None:
    limits = FrontLimits(body_s=0.05, least_per_s=50, sweep_s=0.02)
    async with fronted(echo, limits) as served, served.line() as line:
        line.write(HEAD, b"content-length: 1000\r\n\r\n")
        for _ in range(10):
            line.write(b"x" * 100)
            await asyncio.sleep(0.02)
        assert len((await line.answer()).json["body"]) == 1_000


async def test_a_slow_body_behind_a_request_that_runs_is_told_in_its_turn() -> None:
    gate = Shut()
    async with fronted(gate, FrontLimits(body_s=0.05, sweep_s=0.02)) as served, served.line() as line:
        line.write(GET, HEAD, b"content-length: 9\r\n\r\nabc")
        await until(lambda: served.front.refused == {"slow_body": 1})
        gate.open.set()
        assert (await line.answer()).json == "/one"
        assert (await line.answer()).code == "too_slow"
        assert await line.closed()
    assert gate.asked == ["/one"], "half a request is not begun"


async def test_an_idle_connection_ends_and_one_that_waits_for_its_answer_does_not() -> None:
    gate = Shut()
    limits = FrontLimits(idle_s=0.1, sweep_s=0.02)
    async with fronted(gate, limits) as served, served.line() as silent, served.line() as waits:
        waits.write(GET)
        assert await silent.closed()
        await asyncio.sleep(0.2)
        gate.open.set()
        assert (await waits.answer()).json == "/one"
        assert await waits.closed()
    assert served.front.refused == {}


async def test_one_that_does_not_take_its_answer_is_given_up() -> None:
    async def much(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"x" * 50_000_000})  # type: ignore[operator]

    async with fronted(much, FrontLimits(write_s=0.1, sweep_s=0.02)) as served, served.line() as line:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        line.write(GET)
        await until(lambda: served.front.refused == {"slow_reader": 1})
        await until(lambda: not served.front._connections)


@pytest.mark.slow
def test_clients_that_vanish_at_any_moment_leave_nothing_behind() -> None:
    """On uvloop, as in production: its transports take nothing once they are closing."""
    whole = HEAD + b"content-length: 200000\r\n\r\n" + b"x" * 200_000 + GET * 40
    wrong: list[object] = []

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: wrong.append(context))
        async with fronted(echo) as served:

            async def one(number: int) -> None:
                async with served.line() as line:
                    line.write(whole[: number * 1_009])
                    if number % 3:
                        await line.answer()
                    await asyncio.sleep(number % 7 / 1_000)
                    line.writer.transport.abort()

            await asyncio.gather(
                *map(one, (*range(1, 190, 3), *range(198, 203), 203)), return_exceptions=True
            )
            await until(lambda: not served.front._connections)

    uvloop.run(play())
    assert wrong == []


async def stop(served: Fronted, within_s: float) -> asyncio.Task[None]:
    """Begin to stop, and see that it has begun."""
    stopping = asyncio.create_task(served.front.stop(within_s))
    await until(lambda: served.front.stopping)
    return stopping


async def test_a_stop_answers_what_was_taken_in_and_closes_what_is_idle() -> None:
    gate = Shut()
    async with fronted(gate) as served, served.line() as idle, served.line() as busy:
        busy.write(GET)
        await until(lambda: gate.asked == ["/one"] and len(served.front._connections) == 2)
        stopping = await stop(served, 5)
        assert await idle.closed()
        with pytest.raises(ConnectionRefusedError):
            async with served.line():
                pass
        assert not stopping.done()
        gate.open.set()
        assert (await busy.answer()).headers["connection"] == "close"
        assert await busy.closed()
        await stopping


async def test_a_stop_that_takes_too_long_leaves_what_runs_running() -> None:
    gate = Shut()
    async with fronted(gate) as served, served.line() as line:
        line.write(GET)
        await until(lambda: gate.asked == ["/one"])
        await (await stop(served, 0.05))
        assert gate.ended == []
        gate.open.set()
        assert (await line.answer()).json == "/one"


async def test_a_stop_that_is_given_up_leaves_what_runs_running() -> None:
    gate = Shut()
    async with fronted(gate) as served, served.line() as line:
        line.write(GET)
        await until(lambda: gate.asked == ["/one"])
        stopping = await stop(served, 60)
        served.front.give_up()
        await stopping
        gate.open.set()
        assert (await line.answer()).json == "/one"
