"""One open connection that carries posts, one at a time, and knows what of each has left the house.

As in `connection`, a non-blocking socket whose reader stays registered with the loop: a buyer that closes an
idle connection is noticed at once, before the next post is written to it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from auction.buyers.http1 import ResponseReader
from auction.buyers.sending import Sending
from auction.errors import BuyerError
from auction.market.reasons import Reason

_RECEIVE = 65_536
_NOT_NOW = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class AnswerReader(ResponseReader):
    """A response's reader that tells the status as soon as the head has come (`head_status`, 0 before)."""

    __slots__ = ("head_status",)

    def __init__(self, head_limit: int, body_limit: int) -> None:
        self.head_status = 0
        super().__init__(head_limit, body_limit)

    def on_headers_complete(self) -> None:
        """Called by the parser, also for informational (1xx) responses."""
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status >= 200:
            self.head_status = status


class PostConnection:
    """Opened, and then carrying one sending after the other; `close` it, or let it `rest`."""

    __slots__ = (
        "_done",
        "_fd",
        "_forget",
        "_loop",
        "_reader",
        "_sending",
        "_sock",
        "_tls",
        "_unsent",
        "idle_since_s",
        "reusable",
    )

    def __init__(self, sock: socket.socket, reader: AnswerReader, loop: asyncio.AbstractEventLoop) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._reader = reader
        self._loop = loop
        self._sending: Sending | None = None
        self._done: asyncio.Future[None] | None = None
        self._unsent = b""
        self._forget: Callable[[PostConnection], None] | None = None
        self.idle_since_s = 0.0
        self.reusable = False
        loop.add_reader(self._fd, self._readable)

    @property
    def session(self) -> ssl.SSLSession | None:
        """The TLS session, for the next connection; its tickets have come once an answer has."""
        return self._sock.session if isinstance(self._sock, ssl.SSLSocket) else None

    async def carry(self, sending: Sending) -> None:
        """Sends the request, reads the answer into `sending`. Raises `BuyerError`; whoever cancels, closes."""
        self._sending, self._forget, self.reusable = sending, None, False
        self._reader.head_status = 0
        done = self._done = self._loop.create_future()
        self._begin(sending)
        await done

    def rest(self, now_s: float, forget: Callable[[PostConnection], None]) -> None:
        """Nothing to carry for now. If the buyer ends it meanwhile, `forget` is told: close it then."""
        self.idle_since_s = now_s
        self._forget = forget

    def close(self) -> None:
        """Closes the socket; safe at any time."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        if self._unsent:
            self._loop.remove_writer(self._fd)
            self._unsent = b""
        self._fd = -1
        self.reusable = False
        if self._sending is not None:
            self._sending.heard = self._reader.started
            self._sending.status = self._reader.head_status
            self._sending = None
        self._reader.close()
        self._sock.close()

    def _begin(self, sending: Sending) -> None:
        # What TLS refuses to write it may have written in part; a plain socket says how much it took.
        sending.sent = sending.sent or self._tls
        try:
            sent = self._sock.send(sending.request)
        except _NOT_NOW:
            sent = 0
        except OSError as error:
            self._fail(Reason.CONNECTION_LOST, _named(error))
            return
        sending.sent = sending.sent or sent > 0
        if sent != len(sending.request):
            self._unsent = sending.request[sent:]
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        sending = self._sending
        assert sending is not None
        try:
            sent = self._sock.send(self._unsent)
        except _NOT_NOW:
            return
        except OSError:  # the reader is told the same, after whatever was answered before
            self._loop.remove_writer(self._fd)
            return
        sending.sent = True
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._loop.remove_writer(self._fd)

    def _readable(self) -> None:
        # To the last byte: uvloop wakes us once for a connection that was reset, and never again after that.
        while self._fd >= 0:
            why = "the connection was closed"
            try:
                data = self._sock.recv(_RECEIVE)
            except _NOT_NOW:
                return
            except OSError as error:
                data, why = b"", _named(error)
            if self._sending is None:  # closed by the buyer while idle, or it spoke unasked
                self._ended_idle()
                return
            if self._received(self._sending, data, why):
                return

    def _received(self, sending: Sending, data: bytes, why: str) -> bool:
        """Reads on; nothing is the end of the connection. True when there is no more to come."""
        reader = self._reader
        try:
            whole = reader.feed(data) if data else reader.eof()
        except BuyerError as error:
            reason = Reason(error.code)
            self._fail(reason, "the answer is too large" if reason is Reason.TOO_LARGE else error.detail)
            return True
        if whole:
            self._sending = None
            sending.status, sending.body = reader.status, reader.body
            self.reusable = reader.keep_alive and not self._unsent
            self._tell(None)
        elif not data:
            self._fail(Reason.CONNECTION_LOST, why)
        return whole or not data

    def _ended_idle(self) -> None:
        forget, self._forget = self._forget, None
        if forget is None:
            self.close()
        else:
            forget(self)

    def _fail(self, reason: Reason, why: str) -> None:
        self.close()
        self._tell(BuyerError(reason, why))

    def _tell(self, error: BuyerError | None) -> None:
        done, self._done = self._done, None
        if done is None or done.done():  # nobody waits any more: whoever gave up closes
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)


def _named(error: OSError) -> str:
    return f"{type(error).__name__}: {error}"[:200]
