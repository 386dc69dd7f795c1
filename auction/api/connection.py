"""One connection of a client: bytes in, requests out, one after the other, and their answers back in that order.

The bytes are read by llhttp (through httptools), which is strict: a Content-Length beside a Transfer-Encoding or
another Content-Length, a folded header, a bare LF, a chunk size that is none are errors, so there are no two ways to
see where a request ends. What it lets through and HTTP does not is refused here.

Nothing is without a bound: the bytes and the number of the headers, the time for a head and for a body, requests that
wait behind another and their bodies, what of a body is kept that its door does not take, what is read of a body that
nobody wants, answers that their client does not take: the next request begins when there is room for its answer.
Time is kept by one sweep for all connections (`Front`): there is no timer here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from auction.api.heads import bad_http, check_head, fault_of, head_size, head_too_large, split_target
from auction.api.request import HIGH_WATER, Request, head_without, last_problem
from auction.errors import ExchangeError, SellerError

if TYPE_CHECKING:
    from auction.api.front import Front

MOST_WAITING = 32
"""Requests that wait behind the one that is being answered; then no more is read."""
MOST_UNWANTED = 4 * 1024 * 1024
"""Of a body that is answered already, this much is read and dropped, for the sake of the connection."""
_PIECE = 16 * 1024
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Connection(asyncio.Protocol):
    """Reads requests, has them answered by the front's application, and ends when either side wants to."""

    _transport: asyncio.Transport

    def __init__(self, front: Front) -> None:
        self.paused = False
        self._front = front
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._running: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._reading: Request | None = None  # its body is still coming
        self._in_head = False
        self._head_bytes = 0
        self._body_bytes = 0  # in the piece that is being read
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._framing = 0
        self._unfed = b""
        self._last = False  # what follows is not looked at: a request that was to be the last is there
        self._ending = self._lost = self._eof = False
        self._refusal: ExchangeError | None = None  # told when it is its turn
        self._since_s = front.now_s
        """Since when it has been as it is: idle, in a head, in a body, ending, or not taking its answer."""

    # -- what the transport tells --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._client = transport.get_extra_info("peername")
        self._server = transport.get_extra_info("sockname")
        self._front.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._unfed or len(data) > _PIECE or (self._waiting and self._has_enough()):
            self._unfed += data
            self._feed_on()
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        """It will send no more; what it has sent is answered, if it is whole."""
        self._eof = True
        if self._reading is not None or self._ending:
            return False
        return self._running is not None or bool(self._waiting) or self._refusal is not None

    def connection_lost(self, exc: Exception | None) -> None:
        """What runs, runs on: a post must come to its end whoever listens."""
        self._lost = True
        self._deafen()
        self._waiting.clear()
        if self._running is not None:
            self._give_up(self._running)
        else:
            self._front.closed(self)

    def pause_writing(self) -> None:
        self.paused = True
        self._since_s = self._front.now_s

    def resume_writing(self) -> None:
        self.paused = False
        self._since_s = self._front.now_s
        if self._running is not None:
            self._running.wake()
        elif not self._ending:
            self._next()

    # -- what the front tells ------------------------------------------------------------------------

    def turn_away(self, error: ExchangeError) -> None:
        """Answer this, and nothing else."""
        self._refusal = error
        self._deafen()
        self._tell_refusal()

    def shut(self) -> None:
        """The house closes: what was taken in is answered, and nothing after it."""
        if self._running is None and not self._waiting and not self._ending:
            self._end()

    def abort(self) -> None:
        """It ends at once, unanswered: too many are told already, or nobody knows any more how it stands with it."""
        if self._running is not None:
            self._give_up(self._running)
            self._running = None
        self._transport.abort()
        if self._lost:
            self._front.closed(self)

    def sweep(self, now_s: float) -> None:
        """Ends what takes too long."""
        waited_s, limits = now_s - self._since_s, self._front.limits
        if self._ending:
            unsaid = self._transport.get_write_buffer_size()
            if waited_s > (limits.write_s if unsaid else limits.linger_s):
                self._transport.abort()
        elif self.paused:
            if waited_s > limits.write_s:
                self._front.refused["slow_reader"] += 1
                self._transport.abort()
        elif self._unfed:  # it is we who do not read on
            self._since_s = now_s
        elif self._in_head:
            if waited_s > limits.head_s:
                self._refuse("slow_head", SellerError(408, "too_slow", "The request took too long to come."))
        elif self._reading is not None:
            if waited_s > limits.body_s + self._reading.size / limits.least_per_s and not self._is_full():
                self._refuse("slow_body", SellerError(408, "too_slow", "The body took too long to come."))
        elif self._running is None and waited_s > limits.idle_s:
            self._end()

    # -- what a request tells ------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """A piece of an answer. (A transport may be closing before it says so, and then takes nothing.)"""
        if not self._transport.is_closing():
            self._transport.write(data)

    def closing(self) -> bool:
        """Whether the connection ends with this answer, whatever the client wants."""
        return self._front.stopping or (self._eof and not self._waiting and not self._unfed)

    def read_on(self) -> None:
        """What held up reading is gone."""
        if self._unfed:
            self._feed_on()
        elif self._reading is not None and not self._transport.is_closing():
            self._since_s = self._front.now_s
            self._transport.resume_reading()

    def begin(self, request: Request) -> None:
        """It is let in."""
        if request.gone:
            self.ran(request)
        else:
            self._task = self._front.loop.create_task(request.run(self._front.app))

    def ran(self, request: Request) -> None:
        """Its door is done with it. What is still to come of its body is dropped."""
        self._running = self._task = None
        request.unread = 0
        if self._lost:
            self._front.closed(self)
        elif self._ending:
            return
        elif not request.complete:  # its application broke
            self._transport.abort()
        elif not request.keep_alive:
            self._end()
        elif self._waiting or self._unfed or self._refusal is not None:
            self._next()
        elif self._eof:
            self._end()
        elif self._reading is not None:
            self.read_on()
        elif not self._in_head:
            self._since_s = self._front.now_s

    # -- what the parser tells -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._last:
            raise bad_http("There is nothing behind a last request.")
        self._in_head = True
        self._since_s = self._front.now_s
        self._url, self._headers = b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser, headers, self._headers = self._parser, self._headers, []  # what comes as a trailer is dropped
        assert parser is not None
        version, names = parser.get_http_version(), [name for name, _ in headers]
        self._in_head = False
        check_head(version, names)
        limits, came, self._head_bytes = self._front.limits, self._head_bytes, 0
        if len(names) > limits.headers or (came and head_size(self._url, headers) > limits.head_bytes):
            raise head_too_large(limits.head_bytes, limits.headers)
        path, query = split_target(self._url)
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": parser.get_method().decode(),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": path.encode("latin-1"),
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": self._client,
            "server": self._server,
        }
        keep_alive = version == "1.1" and parser.should_keep_alive()
        expects = b"expect" in names and version == "1.1"
        self._reading = request = Request(self, scope, keep_alive, expects)
        self._last, self._framing = not keep_alive, 0
        self._waiting.append(request)

    def on_body(self, body: bytes) -> None:
        assert self._reading is not None
        self._body_bytes += len(body)
        self._reading.take(body)

    def on_message_complete(self) -> None:
        request, self._reading = self._reading, None
        assert request is not None
        request.whole = True
        request.wake()

    # -- reading -------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            return
        self._body_bytes = 0
        try:
            parser.feed_data(data)
        except HttpParserUpgrade as stop:
            self._decline_upgrade(data[stop.args[0] :])
            data, self._body_bytes = b"", 0  # what follows was fed, and measured, there
        except HttpParserError as error:
            # what comes behind the last request is not ours to read
            if not (self._last and self._reading is None):
                self._refuse("bad_http", fault_of(error))
            self._deafen()
        if self._in_head or self._reading is not None:
            self._measure(data)
        if self._running is None:
            self._next()

    def _feed_on(self) -> None:
        """Feeds what came at once, in pieces, until so many requests wait that their sender has to."""
        while self._unfed and not self._has_enough() and not self._is_full():
            piece, self._unfed = self._unfed[:_PIECE], self._unfed[_PIECE:]
            self._feed(piece)
            if self._parser is None:
                self._unfed = b""
        if not self._ending and not self._transport.is_closing():
            if self._unfed:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _has_enough(self) -> bool:
        """Whether as many requests wait as may, or requests with as much in their bodies."""
        waiting = self._waiting
        return len(waiting) >= MOST_WAITING or sum(one.unread for one in waiting) > HIGH_WATER

    def _is_full(self) -> bool:
        """Whether as much of a body waits for its door as may."""
        return self._reading is not None and self._reading.unread > HIGH_WATER

    def _measure(self, came: bytes) -> None:
        """A request is not whole yet: see that it stays within the limits."""
        reading = self._reading
        limits = self._front.limits
        if reading is None:
            # what came before it was whole: heads that end with a blank line, and bodies
            self._head_bytes += min(len(came.rpartition(b"\r\n\r\n")[2]), len(came) - self._body_bytes)
            if self._head_bytes > limits.head_bytes:
                self._refuse("large_head", head_too_large(limits.head_bytes, limits.headers))
            return
        self._head_bytes = 0
        self._framing += len(came)
        if self._framing > limits.head_bytes + 16 * reading.size:
            self._refuse("bad_http", bad_http("The chunks are more than what is in them."))
        elif reading.complete and reading.size > MOST_UNWANTED:
            self._refuse("unwanted", bad_http("The body was not wanted."))
        elif self._is_full():
            self._transport.pause_reading()

    def _decline_upgrade(self, rest: bytes) -> None:
        """A client that offers another protocol as well is served in this one (RFC 9110, 7.8).

        llhttp will not read on behind such a head: so it is given one without the offer.
        """
        request = self._waiting.pop()
        self._reading = None
        scope = request.scope
        if scope["method"] == "CONNECT":
            self._refuse("bad_http", SellerError(405, "wrong_method", "This is no proxy."))
            return
        self._parser = HttpRequestParser(self)
        self._feed(head_without(b"upgrade", scope["method"].encode(), self._url, scope["headers"]) + rest)

    # -- answering -----------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begins with the next request, or tells why there is none; not while the client leaves answers lying."""
        if self.paused:
            return
        if self._waiting:
            self._running = request = self._waiting.popleft()
            gate = self._front.gate
            if gate is None or gate.lets_in(request):
                self.begin(request)
            if self._unfed:
                self._feed_on()
        elif self._refusal is not None:
            self._tell_refusal()
        elif self._unfed:
            self._feed_on()

    def _refuse(self, why: str, error: SellerError) -> None:
        """Nothing more is read here. What was whole before is answered, and then this is said."""
        self._front.refused[why] += 1
        reading, running = self._reading, self._running
        self._deafen()
        self._refusal = error
        if reading is not None and reading is not running:
            if reading in self._waiting:
                self._waiting.remove(reading)
            elif running is None:  # it was answered already, for its head alone
                self._end()
        elif reading is not None and running is not None:
            if running.started:
                self._end()
            self._give_up(running)
            self._running = None
        if self._running is None and not self._waiting and not self._ending:
            self._tell_refusal()

    def _tell_refusal(self) -> None:
        error, self._refusal = self._refusal, None
        assert error is not None
        self.write(last_problem(error))
        self._end()

    def _give_up(self, request: Request) -> None:
        """Nobody will hear its answer, or send the rest of it."""
        request.gone = True
        request.wake()

    def _deafen(self) -> None:
        """What comes from now on is dropped. (The parser holds us: no cycle is left for the collector.)"""
        self._parser = None
        self._reading = None
        self._in_head = False
        self._unfed = b""

    def _end(self) -> None:
        """Says what is written, and then closes: at once where nothing is on its way to us; else when it has come
        or a while has passed, for a reset would take back the answer."""
        unread = self._reading is not None or self._parser is None or bool(self._unfed)
        self._deafen()
        self._ending = True
        self._since_s = self._front.now_s
        if unread and not self._eof and not self._transport.is_closing():
            self._transport.resume_reading()
            self._transport.write_eof()
        else:
            self._transport.close()
