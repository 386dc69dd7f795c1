"""One open connection to a buyer: a request out, a response in, then idle until the next.

A non-blocking socket whose reader stays registered with the loop for as long as it is open: nothing is added
or removed per request, and a server that closes an idle connection is noticed at once.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from time import perf_counter_ns
from typing import Protocol

from auction.buyers.ask import Ask
from auction.buyers.counts import PoolCounts
from auction.buyers.http1 import ResponseReader
from auction.buyers.limits import FanoutLimits
from auction.buyers.tls import calls_of
from auction.errors import BuyerError
from auction.market.reasons import Reason

_RECEIVE = 65_536
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Home(Protocol):
    """The pool that a connection belongs to, as far as it needs it."""

    loop: asyncio.AbstractEventLoop
    limits: FanoutLimits
    drain_ns: int
    longest_ns: int
    idle: list[Connection]
    counts: PoolCounts

    def keep_session(self, sock: socket.socket) -> None:
        """This one has answered: its TLS session can be used again."""

    def retry(self, ask: Ask) -> None:
        """The server had closed the connection that the ask went out on."""

    def fail(self, ask: Ask, reason: Reason) -> None:
        """The ask has come to nothing."""

    def forget(self, gone: Connection) -> None:
        """The connection was closed."""


class Connection:
    """Carries one ask at a time; between asks it lies in its pool's `idle`.

    A `fresh` connection was opened for the ask that it carries. One that is not may have been closed by the
    server just when we wrote; a ping is idempotent, so if not a byte of an answer came it is asked once
    more, on a fresh connection. Hence once and no more.
    """

    __slots__ = (
        "_ask",
        "_fd",
        "_fresh",
        "_pool",
        "_reader",
        "_receive",
        "_send",
        "_sock",
        "_unsent",
        "idle_since_ns",
    )

    def __init__(self, pool: Home, sock: socket.socket) -> None:
        self._pool = pool
        self._sock = sock
        self._fd = sock.fileno()
        self._send, self._receive = calls_of(sock)
        self._reader = ResponseReader(pool.limits.head_limit, pool.limits.body_limit)
        self._ask: Ask | None = None
        self._unsent = b""
        self._fresh = True
        self.idle_since_ns = 0
        pool.loop.add_reader(self._fd, self._readable)

    def carry(self, ask: Ask) -> None:
        """Writes the request: usually one call of `send`, the rest when the socket takes it."""
        self._ask = ask
        request = ask[0]
        try:
            sent = self._send(request)
        except _NOT_NOW:
            sent = 0
        except OSError:
            self._lost(ask)
            return
        if sent != len(request):
            self._unsent = request[sent:]
            self._pool.loop.add_writer(self._fd, self._writable)

    def rest(self, now_ns: int) -> None:
        """Opened, and nothing to carry: idle from now on."""
        self._fresh = False
        self.idle_since_ns = now_ns
        self._pool.idle.append(self)

    def sweep(self, now_ns: int) -> None:
        """Gives up an answer that has been awaited for too long."""
        ask, pool = self._ask, self._pool
        if ask is not None and now_ns - ask[3] > (pool.drain_ns if ask[1].closed else pool.longest_ns):
            pool.counts.timed_out += 1
            self.close(Reason.TIMEOUT)

    def close(self, reason: Reason | None = None) -> None:
        """Closes the socket. What it carries fails with `reason`, where one is given."""
        ask, self._ask = self._ask, None
        loop = self._pool.loop
        loop.remove_reader(self._fd)
        if self._unsent:
            loop.remove_writer(self._fd)
        self._reader.close()
        self._sock.close()
        self._pool.forget(self)
        if ask is not None and reason is not None:
            self._pool.fail(ask, reason)

    def _readable(self) -> None:
        # One receive is nearly always the whole answer. Where it is not, to the last byte that is there: uvloop wakes
        # us once for a connection that was reset behind a part of an answer, and never again.
        while True:
            try:
                data = self._receive(_RECEIVE)
            except _NOT_NOW:
                return
            except OSError:
                data = b""
            ask = self._ask
            if ask is None:
                self._woken_idle()
                return
            reader = self._reader
            try:
                whole = reader.feed(data) if data else reader.eof()
            except BuyerError as error:
                self._refuse(error)
                return
            if whole:
                self._answered(ask, reader)
                return
            if not data:
                self._lost(ask)
                return

    def _answered(self, ask: Ask, reader: ResponseReader) -> None:
        _, round_, slot, asked_ns = ask
        pool, now_ns = self._pool, perf_counter_ns()
        self._ask = None
        if self._fresh:
            self._fresh = False
            pool.keep_session(self._sock)
        if reader.keep_alive and not self._unsent:
            self.idle_since_ns = now_ns
            pool.idle.append(self)
        else:
            self.close()
        counts = pool.counts
        if round_.closed:
            counts.late += 1
        else:
            counts.answered += 1
            round_.answered(slot, reader.status, reader.body, (now_ns - asked_ns) // 1000)

    def _woken_idle(self) -> None:
        self._pool.counts.closed_by_peer += 1  # or it spoke unasked: no better
        self._pool.idle.remove(self)
        self.close()

    def _lost(self, ask: Ask) -> None:
        if self._fresh or self._reader.started:
            self._pool.counts.lost += 1
            self.close(Reason.CONNECTION_LOST)
        else:
            self._ask = None
            self.close()
            self._pool.retry(ask)

    def _refuse(self, error: BuyerError) -> None:
        reason = Reason(error.code)
        if reason is Reason.TOO_LARGE:
            self._pool.counts.too_large += 1
        else:
            self._pool.counts.bad_http += 1
        self.close(reason)

    def _writable(self) -> None:
        try:
            sent = self._send(self._unsent)
        except _NOT_NOW:
            return
        except OSError:  # the reader is told the same, after whatever was answered before
            self._pool.loop.remove_writer(self._fd)
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._pool.loop.remove_writer(self._fd)
