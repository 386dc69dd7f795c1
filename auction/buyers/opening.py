"""A connection on its way: addresses tried in turn, then the TLS handshake, never blocking.

It ends as a `Connection` that carries the ask it was opened for, or as that ask's failure. If the ask's
auction has closed meanwhile nothing is sent: the connection rests in the pool, ready for the next.
"""

from __future__ import annotations

import errno
import socket
import ssl
from time import perf_counter_ns
from typing import Protocol

from auction.buyers.address import Address
from auction.buyers.ask import Ask
from auction.buyers.connection import Connection, Home
from auction.market.reasons import Reason


class NewHome(Home, Protocol):
    """The pool that a connection is opened for, as far as that needs it."""

    host: str
    addresses: tuple[Address, ...]
    context: ssl.SSLContext | None
    session: ssl.SSLSession | None
    connect_ns: int

    def avoid(self, address: Address) -> None:
        """This address failed."""

    def replace(self, opening: Opening, connection: Connection) -> None:
        """The opening has become a connection."""

    def forget(self, gone: Connection | Opening) -> None:
        """The connection was closed, or the opening came to nothing."""


class Opening:
    """One attempt to open one connection, for `ask` or for nobody yet."""

    __slots__ = ("_ask", "_left", "_pool", "_since_ns", "_sock", "_trying")

    def __init__(self, pool: NewHome, ask: Ask | None) -> None:
        self._pool = pool
        self._ask = ask
        self._left: list[Address] = list(reversed(pool.addresses))
        self._trying: Address | None = None
        self._sock: socket.socket | None = None
        self._since_ns = perf_counter_ns()

    def start(self) -> None:
        """Begins to connect to the next address that is left."""
        while self._left:
            self._trying = self._left.pop()
            sock = _begin(self._trying)
            if sock is not None:
                self._sock = sock
                self._pool.loop.add_writer(sock.fileno(), self._connected)
                return
            self._pool.avoid(self._trying)
        self._pool.counts.connect_failed += 1
        self.close(Reason.CONNECT_FAILED)

    def sweep(self, now_ns: int) -> None:
        """Gives up an address, or a handshake, that takes too long."""
        if now_ns - self._since_ns <= self._pool.connect_ns:
            return
        if isinstance(self._sock, ssl.SSLSocket):
            self._tls_failed()
        else:
            self._since_ns = now_ns
            self._next()

    def close(self, reason: Reason) -> None:
        """Ends the attempt; the ask fails with `reason`."""
        ask, self._ask = self._ask, None
        self._drop_socket()
        self._pool.forget(self)
        if ask is not None:
            self._pool.fail(ask, reason)

    def _next(self) -> None:
        """The address that was tried is no good."""
        if self._trying is not None:
            self._pool.avoid(self._trying)
        self._drop_socket()
        self.start()

    def _drop_socket(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._unregister(sock)
            sock.close()

    def _unregister(self, sock: socket.socket) -> None:
        self._pool.loop.remove_writer(sock.fileno())
        self._pool.loop.remove_reader(sock.fileno())

    def _connected(self) -> None:
        sock = self._sock
        assert sock is not None
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._next()
            return
        self._unregister(sock)
        context = self._pool.context
        if context is None:
            self._ready(sock)
            return
        self._sock = None
        try:
            self._sock = context.wrap_socket(
                sock,
                server_hostname=self._pool.host,
                do_handshake_on_connect=False,
                session=self._pool.session,
            )
        except (OSError, ValueError):  # lost just now; or a session that does not fit
            sock.close()
            self._tls_failed()
            return
        self._handshake()

    def _handshake(self) -> None:
        sock, loop = self._sock, self._pool.loop
        assert isinstance(sock, ssl.SSLSocket)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            loop.remove_writer(sock.fileno())
            loop.add_reader(sock.fileno(), self._handshake)
        except ssl.SSLWantWriteError:
            loop.add_writer(sock.fileno(), self._handshake)
        except OSError:
            self._tls_failed()
        else:
            self._unregister(sock)
            self._ready(sock)

    def _tls_failed(self) -> None:
        self._pool.session = None
        self._pool.counts.tls_failed += 1
        self.close(Reason.TLS_FAILED)

    def _ready(self, sock: socket.socket) -> None:
        ask, self._ask = self._ask, None
        self._sock = None
        pool = self._pool
        connection = Connection(pool, sock)
        pool.replace(self, connection)
        if ask is None:
            connection.rest(perf_counter_ns())
        elif ask[1].closed:
            pool.counts.unsent += 1
            connection.rest(perf_counter_ns())
        else:
            connection.carry(ask)


def _begin(address: Address) -> socket.socket | None:
    """A socket that is connecting; None if that failed at once."""
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sock.connect_ex(address.sockaddr) in (0, errno.EINPROGRESS):
            return sock
    except OSError:
        pass
    sock.close()
    return None
