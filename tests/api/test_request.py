"""A request as an ASGI application sees it, and the bytes of its answers."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from auction.api.request import HIGH_WATER
from tests.api.fronted import answer, echo, fronted
from tests.api.wired import Wired, until

GET = b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n"
HEAD = b"POST /ping HTTP/1.1\r\nhost: x\r\n"


async def whole(line: Wired, end: bytes) -> bytes:
    """What comes, up to `end`."""
    async with asyncio.timeout(30):
        return await line._reader.readuntil(end)


async def in_pieces(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b")]})
    for part in (b"one", b"", b"two" * 4):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


async def test_an_answer_in_pieces_is_chunked() -> None:
    async with fronted(in_pieces) as served, served.line() as line:
        for _ in range(2):
            line.write(GET)
            assert await whole(line, b"0\r\n\r\n") == (
                b"HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n"
                b"3\r\none\r\nc\r\ntwotwotwotwo\r\n0\r\n\r\n"
            )


async def test_in_http_1_0_it_ends_with_the_connection() -> None:
    async with fronted(in_pieces) as served, served.line() as line:
        line.write(GET.replace(b"1.1", b"1.0"))
        async with asyncio.timeout(30):
            assert await line._reader.read(-1) == (
                b"HTTP/1.1 200 OK\r\nx-a: b\r\nconnection: close\r\n\r\nonetwotwotwotwo"
            )


async def test_an_answer_without_a_length_gets_one_and_one_to_head_has_no_body() -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"none"})

    async with fronted(plain) as served, served.line() as line:
        line.write(GET.replace(b"GET", b"HEAD"), GET)
        head = b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\n"
        assert await whole(line, b"none") == head + head + b"none"


async def test_a_line_break_in_a_header_never_leaves(caplog: pytest.LogCaptureFixture) -> None:
    for value in (b"a\r\nset-cookie: x", b"a\nb", b"a\rb"):

        async def split(scope: Any, receive: Any, send: Any, value: bytes = value) -> None:
            await answer(send, b"{}", 200, (b"x-a", value))

        async with fronted(split) as served, served.line() as line:
            line.write(GET)
            assert await line.closed()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "request_broke"
    ] * 3
    caplog.clear()


async def test_an_application_that_breaks_ends_its_connection_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/one":
            raise LookupError
        await answer(send, b"{}")

    async with fronted(breaks) as served, served.line() as line, served.line() as other:
        line.write(GET)
        assert await line.closed()
        other.write(GET.replace(b"one", b"two"))
        assert (await other.answer()).status == 200
    caplog.clear()


async def test_expect_100_continue() -> None:
    expects = HEAD + b"expect: 100-continue\r\ncontent-length: 4\r\n\r\n"

    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"{}", 401)

    async with fronted(echo) as served, served.line() as line:
        line.write(expects)
        assert await whole(line, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.write(b"body")
        assert (await line.answer()).json["body"] == "body"
        line.write(expects, b"body")
        assert (await line.answer()).json["body"] == "body", "who sends it at once need not be told to"
    async with fronted(refuses) as served, served.line() as line:
        line.write(expects)
        refused = await line.answer()
        assert (refused.status, refused.headers["connection"]) == (401, "close")
        assert await line.closed(), "whether the body comes, nobody knows"


async def test_an_application_that_reads_slowly_holds_its_sender_up() -> None:
    step = asyncio.Event()
    sizes: list[int] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            await step.wait()
            message = await receive()
            sizes.append(len(message["body"]))
            more = message["more_body"]
        await answer(send, b"%d" % sum(sizes))

    size = 30_000_000
    async with fronted(reads) as served, served.line() as line:
        line.write(HEAD, b"content-length: %d\r\n\r\n" % size)
        line.write(b"x" * size)
        await until(lambda: bool(served.front._connections))
        (connection,) = served.front._connections
        await until(lambda: connection._reading is not None and connection._reading.unread > HIGH_WATER)
        await asyncio.sleep(0.1)
        assert connection._reading is not None
        assert connection._reading.unread + len(connection._unfed) < 1_000_000, "the rest waits where it is"
        step.set()
        assert (await line.answer()).json == size
        line.write(GET)
        assert (await line.answer()).json == size
    assert max(sizes) < 1_000_000


async def test_an_answer_that_is_not_taken_holds_its_application_up() -> None:
    sent: list[int] = []

    async def pours(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(300):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            sent.append(number)
        await send({"type": "http.response.body"})

    async with fronted(pours) as served, served.line() as line:
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        line.write(GET)
        await until(lambda: bool(sent))
        await asyncio.sleep(0.1)
        assert len(sent) < 250
        line.writer.transport.resume_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            got = 0
            while got < 30_000_000:
                got += len(await line._reader.read(1_000_000))


async def test_a_body_that_nobody_wants_is_dropped_up_to_a_bound() -> None:
    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"{}", 413)

    async with fronted(refuses) as served, served.line() as line:
        line.write(HEAD, b"content-length: 1000000\r\n\r\n", b"x" * 1_000_000, GET)
        assert (await line.answer()).status == 413
        assert (await line.answer()).status == 413, "and the connection lives"
        line.write(HEAD, b"content-length: 50000000\r\n\r\n")
        assert (await line.answer()).status == 413
        line.write(b"x" * 20_000_000)
        assert await line.closed()
        assert served.front.refused == {"unwanted": 1}


async def test_a_sender_that_goes_in_the_middle_is_told_to_the_application() -> None:
    heard: list[str] = []

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        heard.append(message["type"])
        await answer(send, b"{}")

    for abort in (False, True):
        async with fronted(reads) as served:
            async with served.line() as line:
                line.write(HEAD, b"content-length: 9\r\n\r\nabc")
                await until(lambda: any(one._running for one in served.front._connections))
                if abort:
                    line.writer.transport.abort()
            await until(lambda: not served.front._connections)
    assert heard == ["http.disconnect"] * 2
