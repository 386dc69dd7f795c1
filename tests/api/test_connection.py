"""What a connection makes of bytes: requests in their order, and a clear no to what is no HTTP."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auction.api.connection import MOST_WAITING
from auction.api.front import FrontLimits
from auction.api.request import HIGH_WATER
from tests.api.fronted import Fronted, Shut, answer, echo, fronted
from tests.api.wired import Wired, until

HEAD = b"POST /ping HTTP/1.1\r\nhost: x\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
GET = b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n"
NO_HTTP = {
    "a length and chunks": HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "a list of lengths": HEAD + b"content-length: 3, 3\r\n\r\nabc",
    "a length with a sign": HEAD + b"content-length: +3\r\n\r\nabc",
    "a length below 0": HEAD + b"content-length: -3\r\n\r\nabc",
    "an empty length": HEAD + b"content-length: \r\n\r\n",
    "an endless length": HEAD + b"content-length: " + b"9" * 30 + b"\r\n\r\n",
    "a blank behind a name": HEAD + b"content-length : 3\r\n\r\nabc",
    "a folded header": HEAD + b"x-a: b\r\n c\r\ncontent-length: 3\r\n\r\nabc",
    "a folded coding": HEAD + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare LFs": b"POST /ping HTTP/1.1\nhost: x\n\n",
    "a bare LF": HEAD + b"x-a: b\ncontent-length: 3\r\n\r\nabc",
    "a bare CR": HEAD + b"x-a: b\rx-c: d\r\n\r\n",
    "a NUL": HEAD + b"x-a: b\x00c\r\n\r\n",
    "an unknown coding": HEAD + b"transfer-encoding: gzip\r\n\r\nabc",
    "chunked not last": HEAD + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding's lookalike": HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": CHUNKED + b"zz\r\n",
    "a chunk size with a sign": CHUNKED + b"-1\r\n",
    "a chunk size in C": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size that overflows": CHUNKED + b"f" * 17 + b"\r\n",
    "a chunk that is too long": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "LFs between chunks": CHUNKED + b"3\nabc\n0\n\n",
    "a LF in a chunk extension": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a length in a trailer": CHUNKED + b"3\r\nabc\r\n0\r\ncontent-length: 5\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": HEAD + b"Host: y\r\n\r\n",
    "two keys": HEAD + b"x-api-key: mine\r\nX-API-Key: yours\r\n\r\n",
    "two authorizations": HEAD + b"authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two kinds of content": HEAD + b"content-type: application/json\r\ncontent-type: text/plain\r\n\r\n",
    "two idempotency keys": HEAD + b"idempotency-key: a\r\nidempotency-key: b\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nhost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a method that is none": b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n",
    "a name with a blank": HEAD + b"a b: c\r\n\r\n",
    "no name": HEAD + b": c\r\n\r\n",
    "no colon": HEAD + b"abc\r\n\r\n",
    "a path with a blank": b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n",
    "a path in Latin-1": b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.fixture
async def served() -> AsyncIterator[Fronted]:
    async with fronted(echo) as one:
        yield one


@pytest.fixture
async def line(served: Fronted) -> AsyncIterator[Wired]:
    async with served.line() as one:
        yield one


@pytest.mark.parametrize("what", NO_HTTP)
async def test_what_is_no_http_is_refused_and_the_connection_closed(
    served: Fronted, line: Wired, what: str
) -> None:
    line.write(NO_HTTP[what], GET)
    refused = await line.answer()
    assert (refused.status, refused.code) == (400, "bad_http"), refused
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["connection"] == "close"
    assert await line.closed(), "what was behind it is not looked at"
    assert served.front.refused == {"bad_http": 1}


async def test_what_was_whole_before_it_is_answered_first(line: Wired) -> None:
    line.write(GET, HEAD + b"content-length: 2\r\n\r\nok", NO_HTTP["two lengths"], GET)
    assert (await line.answer()).json["path"] == "/one"
    assert (await line.answer()).json["body"] == "ok"
    assert (await line.answer()).code == "bad_http"
    assert await line.closed()


async def test_a_head_may_be_so_long_and_have_so_many_headers(served: Fronted) -> None:
    for head, status in (
        (HEAD + b"x-a: " + b"y" * 16_000 + b"\r\n\r\n", 200),
        (HEAD + b"x-a: " + b"y" * 16_400 + b"\r\n\r\n", 431),
        (HEAD + b"x-a: " + b"y" * 500_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
        (HEAD + b"x-a: y\r\n" * 99 + b"\r\n", 200),
        (HEAD + b"x-a: y\r\n" * 100 + b"\r\n", 431),
    ):
        for size in (len(head), 1_000):
            async with served.line() as line:
                for at in range(0, len(head), size):
                    line.write(head[at : at + size])
                    await asyncio.sleep(0)
                answer = await line.answer()
                assert answer.status == status, (head[:30], len(head), size)
                assert answer.code == ("head_too_large" if status == 431 else None)
                assert status == 200 or "16384 bytes and 100 headers" in answer.json["detail"]


async def test_a_head_that_never_ends_is_not_kept(served: Fronted, line: Wired) -> None:
    line.write(HEAD, b"x-a: ")
    for _ in range(40):
        line.write(b"y" * 1_000)
        await asyncio.sleep(0.001)
    assert (await line.answer()).status == 431
    assert served.front.refused == {"large_head": 1}


@pytest.mark.parametrize(
    ("before", "answers"),
    [
        (GET * 10, 10),
        (HEAD + b"content-length: 90\r\n\r\n" + b"x" * 90, 1),
        (CHUNKED + b"5a\r\n" + b"x" * 90 + b"\r\n0\r\n\r\n", 1),
        (HEAD + b"upgrade: x\r\nconnection: upgrade\r\ncontent-length: 90\r\n\r\n" + b"x" * 90, 1),
    ],
    ids=["heads", "a body", "chunks", "an offer of another protocol"],
)
async def test_what_came_before_a_head_is_none_of_it(before: bytes, answers: int) -> None:
    async with fronted(echo, FrontLimits(head_bytes=120)) as served, served.line() as line:
        line.write(before, GET[:-2])
        for _ in range(answers):
            assert (await line.answer()).status == 200
        line.write(b"x-a: y\r\n")
        await asyncio.sleep(0.01)
        line.write(b"\r\n")
        assert (await line.answer()).status == 200
        line.write(before, GET[:-2])
        for _ in range(answers):
            assert (await line.answer()).status == 200
        line.write(b"x-a: " + b"y" * 100)
        assert (await line.answer()).status == 431


async def test_more_framing_than_body(line: Wired) -> None:
    line.write(CHUNKED, b"3;x=")
    for _ in range(40):
        line.write(b"y" * 1_000)
        await asyncio.sleep(0.001)
    assert (await line.answer()).code == "bad_http"


async def test_trailers_are_dropped(line: Wired) -> None:
    line.write(CHUNKED + b"3\r\nabc\r\n0\r\nx-api-key: stolen\r\n\r\n", GET)
    heard = (await line.answer()).json
    assert (heard["body"], "x-api-key" in heard["headers"]) == ("abc", False)
    assert "x-api-key" not in (await line.answer()).json["headers"]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=8), st.integers(1, 60))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_it_is_cut_it_is_the_same(kinds: list[int], size: int) -> None:
    """Byte by byte or all at once: the same requests with the same answers, in their order."""
    made = (GET, HEAD + b"content-length: 4\r\n\r\nbody", CHUNKED + b"2\r\nbo\r\n2;x\r\ndy\r\n0\r\n\r\n")
    data = b"".join(made[kind] for kind in kinds)

    async def play() -> list[str]:
        async with fronted(echo) as served, served.line() as line:
            for at in range(0, len(data), size):
                line.write(data[at : at + size])
                await asyncio.sleep(0)
            return [(await line.answer()).json["body"] for _ in kinds]

    assert uvloop.run(play()) == ["" if kind == 0 else "body" for kind in kinds]


async def test_so_many_requests_wait_and_then_their_sender_does() -> None:
    gate = Shut()
    async with fronted(gate) as served, served.line() as line:
        wanted = 3_000
        line.write(*(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(wanted)))
        await until(lambda: gate.asked == ["/0"])
        (connection,) = served.front._connections
        await until(lambda: len(connection._waiting) >= MOST_WAITING)
        await asyncio.sleep(0.1)
        assert MOST_WAITING <= len(connection._waiting) < 1_000
        assert gate.asked == ["/0"], "one after the other"
        gate.open.set()
        for number in range(wanted):
            assert (await line.answer()).json == f"/{number}"


async def test_no_request_begins_while_its_client_takes_no_answers() -> None:
    """Or a few bytes of requests would be as many megabytes of answers as one likes."""
    wanted, asked = 60, 0

    async def much(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        await answer(send, b'"%b"' % (b"x" * 500_000))

    async with fronted(much) as served, served.line() as line:
        line.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        line.write(GET * wanted)
        await until(lambda: any(connection.paused for connection in served.front._connections))
        for _ in range(1_000):  # turns in which all of them could be answered
            await asyncio.sleep(0)
        assert asked < wanted
        line.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(wanted):
            assert len((await line.answer()).json) == 500_000
        assert asked == wanted


async def test_what_waits_has_no_more_in_its_bodies_than_one_may_have() -> None:
    gate, wanted = Shut(), 30
    async with fronted(gate) as served, served.line() as line:
        line.write(
            GET, *(b"%bcontent-length: 60000\r\n\r\n%b" % (HEAD, b"x" * 60_000) for _ in range(wanted))
        )
        await until(lambda: gate.asked == ["/one"])
        (connection,) = served.front._connections
        await until(lambda: not connection._transport.is_reading())
        assert sum(one.unread for one in connection._waiting) <= HIGH_WATER + 60_000
        assert len(connection._waiting) < wanted
        gate.open.set()
        assert (await line.answer()).json == "/one"
        for _ in range(wanted):
            assert (await line.answer()).json == "/ping"


@pytest.mark.parametrize(
    "last",
    [
        b"GET /last HTTP/1.1\r\nhost: x\r\nx-a: %b\r\n\r\n",
        HEAD + b"content-length: 10000\r\n\r\n%b",
    ],
)
async def test_nobody_is_slow_whose_bytes_wait_for_us(last: bytes) -> None:
    """Where we read no more in the middle of a request, it has all its time from when we read on."""
    gate, wanted = Shut(), MOST_WAITING + 5
    padded = b"GET /one HTTP/1.1\r\nhost: x\r\nx-a: %b\r\n\r\n" % (b"y" * 300)
    async with fronted(gate) as served, served.line() as line:
        line.write(GET)
        await until(lambda: gate.asked == ["/one"])
        (connection,) = served.front._connections
        connection.data_received(padded * wanted + last % (b"z" * 10_000))
        assert connection._in_head or connection._reading is not None
        assert connection._unfed
        connection.sweep(served.front.now_s + 60)
        assert served.front.refused == {}
        gate.open.set()
        for _ in range(1 + wanted):
            assert (await line.answer()).json == "/one"
        assert (await line.answer()).status == 200


async def test_a_client_that_offers_another_protocol_is_served_in_this_one(line: Wired) -> None:
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    line.write(HEAD, offer, b"content-length: 4\r\n\r\nbody", GET)
    heard = (await line.answer()).json
    assert (heard["method"], heard["path"], heard["body"]) == ("POST", "/ping", "body")
    assert (await line.answer()).json["path"] == "/one"
    line.write(b"CONNECT y:1 HTTP/1.1\r\nhost: y\r\n\r\n")
    assert (await line.answer()).status == 405
    assert await line.closed()


async def test_many_such_offers_at_once_are_no_long_head(line: Wired) -> None:
    offer = b"GET /%d HTTP/1.1\r\nhost: x\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
    wanted = 600
    line.write(*(offer % number for number in range(wanted)))
    for number in range(wanted):
        assert (await line.answer()).json["path"] == f"/{number}"


async def test_targets(line: Wired) -> None:
    for target, path, query in (
        (b"/a%20b?c=%20d#e", "/a b", "c=%20d"),
        (b"http://x:80/ping?y", "/ping", "y"),
        (b"http://x", "/", ""),
        (b"/?", "/", ""),
        (b"/%E4%B8%96", "/\u4e16", ""),
        (b"//x", "//x", ""),
        (b"/a?b=http://c", "/a", "b=http://c"),
    ):
        line.write(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
        heard = (await line.answer()).json
        assert (heard["path"], heard["query"]) == (path, query)
    line.write(b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n")
    heard = (await line.answer()).json
    assert (heard["method"], heard["path"]) == ("OPTIONS", "*")


async def test_a_client_that_closes_its_half_gets_its_answers() -> None:
    gate = Shut()
    async with fronted(gate) as served, served.line() as line:
        line.write(GET, GET)
        line.writer.write_eof()
        await until(lambda: gate.asked == ["/one"])
        gate.open.set()
        assert (await line.answer()).json == "/one"
        assert (await line.answer()).headers["connection"] == "close"
        assert await line.closed()


async def test_what_runs_for_a_client_that_is_gone_runs_to_its_end_and_what_waits_never_begins() -> None:
    gate = Shut()
    async with fronted(gate) as served:
        async with served.line() as line:
            line.write(GET, b"GET /two HTTP/1.1\r\nhost: x\r\n\r\n")
            await until(lambda: gate.asked == ["/one"])
            sock = line.writer.get_extra_info("socket")
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )  # it ends with a reset
            line.writer.transport.abort()
        await until(lambda: all(one._lost for one in served.front._connections))
        stopping = asyncio.create_task(served.front.stop(5))
        await asyncio.sleep(0.05)
        assert not stopping.done(), "a stop waits for it"
        gate.open.set()
        await stopping
    assert (gate.asked, gate.ended) == (["/one"], ["/one"])


async def test_behind_a_last_request_nothing_is_read(served: Fronted) -> None:
    for last in (
        b"GET /one HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /one HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
    ):
        async with served.line() as line:
            line.write(last, GET, b"\x00\x01")
            assert (await line.answer()).headers["connection"] == "close"
            assert await line.closed()
    assert served.front.refused == {}


async def test_limits_are_the_fronts_own() -> None:
    async with fronted(echo, FrontLimits(headers=2, head_bytes=64)) as served:
        for head in (HEAD + b"a: b\r\nc: d\r\n\r\n", HEAD + b"a: " + b"b" * 64):
            async with served.line() as line:
                line.write(head)
                assert (await line.answer()).status == 431
