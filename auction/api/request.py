"""One request and its answer, as ASGI has them: a scope, `receive` and `send`.

A body that came with its head is handed over as it is, and an answer of one piece leaves in one write: for nearly all
requests no future is made here and nothing is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Protocol

from auction import log
from auction.api.wire import PROBLEM_TYPE, problem
from auction.errors import ExchangeError

Message = MutableMapping[str, Any]
Served = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
"""An ASGI application."""

HIGH_WATER = 65_536
"""Of a body that its door is slow to take, this much is kept; then the sender has to wait."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NO_BODY = frozenset({204, 304})
_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus
}


class Carrier(Protocol):
    """The connection that a request came by, as far as it needs it. `paused`: its client does not take its answer."""

    paused: bool

    def write(self, data: bytes) -> None:
        """A piece of an answer."""

    def closing(self) -> bool:
        """Whether the connection ends with this answer, whatever the client wants."""

    def read_on(self) -> None:
        """What held up reading is gone."""

    def begin(self, request: Request) -> None:
        """It is let in."""

    def ran(self, request: Request) -> None:
        """Its door is done with it."""

    def abort(self) -> None:
        """It ends at once, unanswered."""


class Request:
    """A request whose head is whole. `whole`: so is its body. `gone`: nobody hears an answer any more.

    `complete`: it is answered. `size` is that of its body, as far as it came.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_expects",
        "_parts",
        "_start",
        "_taken",
        "_waiter",
        "complete",
        "gone",
        "keep_alive",
        "scope",
        "size",
        "started",
        "unread",
        "whole",
    )

    def __init__(self, connection: Carrier, scope: dict[str, Any], keep_alive: bool, expects: bool) -> None:
        """`expects`: its sender waits to be told before it sends the body."""
        self.scope = scope
        self.keep_alive = keep_alive
        self.whole = self.gone = self.started = self.complete = False
        self.size = 0
        self.unread = 0
        self._connection = connection
        self._expects = expects
        self._parts: list[bytes] = []
        self._taken = False
        self._start: Message | None = None
        self._chunked = False
        self._waiter: asyncio.Future[None] | None = None

    async def run(self, app: Served) -> None:
        """Have it answered. However it ends, the connection is told."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            log.bug("request_broke")
        finally:
            self._connection.ran(self)

    def begin(self) -> None:
        """It waited, and is let in."""
        self._connection.begin(self)

    def refuse(self, head: bytes, body: bytes) -> None:
        """Answers without any door: `head` is status and headers, without the blank line."""
        if not self.gone:
            self.started = self.complete = True
            self.keep_alive = self.keep_alive and not self._expects and not self._connection.closing()
            end = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
            self._connection.write(head + end + body)
        self._connection.ran(self)

    def abandon(self) -> None:
        """It could neither be begun nor refused: its connection ends."""
        self.gone = True
        self._connection.abort()

    def take(self, part: bytes) -> None:
        """A piece of the body came."""
        self.size += len(part)
        self._expects = False
        if not self.complete:
            self._parts.append(part)
            self.unread += len(part)
            if self._waiter is not None:
                self.wake()

    def wake(self) -> None:
        """Something changed for whoever waits in `receive` or `send`."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def receive(self) -> Message:
        """ASGI's `receive`: the body, in as many pieces as it took; then, some time, that the sender is gone."""
        if self._expects and not (self.whole or self.started):
            self._expects = False
            self._connection.write(_CONTINUE)
        while not (self.whole or self._parts or self.gone) or (self._taken and not self._is_over()):
            await self._news()
        if self.gone or self._taken:
            return {"type": "http.disconnect"}
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._taken = self.whole
        if self.unread:
            self.unread = 0
            self._connection.read_on()  # more may come in this
        return {"type": "http.request", "body": body, "more_body": not self._taken}

    async def send(self, message: Message) -> None:
        """ASGI's `send`. What is sent to somebody who is gone is dropped."""
        if self.gone:
            return
        if message["type"] == "http.response.start":
            assert self._start is None, "a response starts once"
            self._start = message
            return
        assert self._start is not None, "a body comes after its start"
        assert not self.complete, "a body ends once"
        body, more = message.get("body", b""), message.get("more_body", False)
        if not self.started:
            body = self._head(body, more) + self._framed(body, more)
            self.started = True
        else:
            body = self._framed(body, more)
        self.complete = not more
        if body:
            self._connection.write(body)
        while more and self._connection.paused and not self.gone:
            await self._news()

    def _head(self, body: bytes, more: bool) -> bytes:
        """The head of the response; and with it is settled how the body is framed, and whether we stay connected."""
        assert self._start is not None
        status, headers = self._start["status"], self._start["headers"]
        lines = [_STATUS_LINES[status]]
        framed, stays = status in _NO_BODY, self.keep_alive
        for name, value in headers:
            if name == b"connection":  # ours to say
                stays = stays and value != b"close"
                continue
            lines += (name, b": ", value, b"\r\n")
            if name == b"content-length":
                framed = True
        head, ends = b"".join(lines), len(lines) // 4 + 1
        if head.count(b"\n") != ends or head.count(b"\r") != ends:
            raise ValueError("a line break in a header of a response")
        if not framed and not more:
            head += b"content-length: %d\r\n" % len(body)
        elif not framed and self.scope["http_version"] == "1.1":
            self._chunked, head = True, head + b"transfer-encoding: chunked\r\n"
        elif not framed:
            stays = False  # its end is the connection's
        if self._expects:
            stays = False  # whether a body comes that nobody asked for, only its sender knows
        self.keep_alive = stays and not self._connection.closing()
        return head + (b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")

    def _framed(self, body: bytes, more: bool) -> bytes:
        if self.scope["method"] == "HEAD":
            return b""
        if not self._chunked:
            return body
        piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return piece if more else piece + b"0\r\n\r\n"

    def _is_over(self) -> bool:
        return self.gone or self.complete

    async def _news(self) -> None:
        if self._waiter is None:
            self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


def last_problem(error: ExchangeError) -> bytes:
    """What a connection ends with where there is no request to answer."""
    status, body, told = problem(error)
    lines = [(name.encode(), value.encode()) for name, value in (*told, ("connection", "close"))]
    return b"%b\r\n%b" % (head_of(status, [PROBLEM_TYPE, *lines], body), body)


def head_of(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Status and headers, without the blank line."""
    lines = b"".join([b"%b: %b\r\n" % (name, value) for name, value in headers])
    return b"%b%bcontent-length: %d\r\n" % (_STATUS_LINES[status], lines, len(body))


def head_without(name: bytes, method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A head of HTTP/1.1 as it came, but for one of its headers."""
    lines = [b"%b: %b\r\n" % pair for pair in headers if pair[0] != name]
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join(lines))
