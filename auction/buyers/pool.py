"""The connections to one origin: who gets which, how many there may be, and what has become of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from time import perf_counter_ns

from auction.buyers.address import Address, Resolved
from auction.buyers.ask import Ask
from auction.buyers.connection import Connection
from auction.buyers.counts import PoolCounts
from auction.buyers.limits import FanoutLimits
from auction.buyers.opening import Opening
from auction.buyers.target import Target
from auction.market.reasons import Reason

_NS = 1_000_000_000


class Total:
    """How many connections all pools hold together, and may hold."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.held = 0
        self.limit = limit


class Pool:
    """One origin's connections, used last in, first out: few are kept warm, the others expire."""

    __slots__ = (
        "_held",
        "_refilled_ns",
        "_refused",
        "_tokens",
        "_total",
        "addresses",
        "ca_file",
        "closed",
        "connect_ns",
        "context",
        "counts",
        "drain_ns",
        "host",
        "idle",
        "limits",
        "longest_ns",
        "loop",
        "origin",
        "port",
        "session",
        "tls",
    )

    def __init__(
        self, target: Target, loop: asyncio.AbstractEventLoop, limits: FanoutLimits, total: Total
    ) -> None:
        self.origin = target.origin
        self.host = target.host
        self.port = target.port
        self.ca_file = target.ca_file
        self.tls = target.scheme == "https"
        self.context: ssl.SSLContext | None = None
        self.session: ssl.SSLSession | None = None
        self.addresses: tuple[Address, ...] = ()
        self.loop = loop
        self.limits = limits
        self.drain_ns = int(limits.drain_s * _NS)
        self.longest_ns = int(limits.longest_s * _NS)
        self.connect_ns = int(limits.connect_timeout_s * _NS)
        self.idle: list[Connection] = []  # the longest idle first
        self.counts = PoolCounts()
        self.closed = False
        self._held: set[Connection | Opening] = set()
        self._total = total
        self._refused = False
        self._tokens = float(limits.openings_burst)
        self._refilled_ns = perf_counter_ns()

    @property
    def ready(self) -> bool:
        """Whether connections can be opened: there is an address, and trust where it is needed."""
        return bool(self.addresses) and not (self.tls and self.context is None)

    @property
    def held(self) -> int:
        """How many connections there are: idle, awaiting an answer, or being opened."""
        return len(self._held)

    def resolved(self, found: Resolved) -> None:
        """Takes the addresses that new connections go to."""
        if set(found.addresses) != set(self.addresses):  # else the order that was learned holds
            self.addresses = found.addresses
        self._refused = found.refused > 0

    def open(self, ask: Ask | None) -> None:
        """Opens a connection for `ask`, or to lie ready; where that may not be, the ask fails."""
        reason = self._hindrance()
        if reason is not None:
            if ask is not None:
                self.fail(ask, reason)
            return
        self.counts.opened += 1
        self._total.held += 1
        opening = Opening(self, ask)
        self._held.add(opening)
        opening.start()

    def retry(self, ask: Ask) -> None:
        """Asks once more: the server had closed the connection that `ask` went out on."""
        if ask[1].closed:
            self.counts.lost += 1
            return
        self.counts.retried += 1
        self.open(ask)

    def fail(self, ask: Ask, reason: Reason) -> None:
        """Tells the ask's round, unless it has closed."""
        _, round_, slot, asked_ns = ask
        if not round_.closed:
            round_.failed(slot, reason, (perf_counter_ns() - asked_ns) // 1000)

    def replace(self, opening: Opening, connection: Connection) -> None:
        """An opening has become a connection."""
        self._held.discard(opening)
        self._held.add(connection)

    def forget(self, gone: Connection | Opening) -> None:
        """A connection was closed."""
        if gone in self._held:
            self._held.remove(gone)
            self._total.held -= 1

    def avoid(self, address: Address) -> None:
        """`address` failed: the next connection begins with another."""
        if len(self.addresses) > 1 and self.addresses[0] == address:
            self.addresses = (*self.addresses[1:], address)

    def keep_session(self, sock: socket.socket) -> None:
        """Keeps the TLS session of a connection that has answered: by then its tickets have come."""
        if isinstance(sock, ssl.SSLSocket):
            self.session = sock.session

    def sweep(self, now_ns: int) -> None:
        """Closes what has been idle, awaited or opening for too long."""
        idle_ns = int(self.limits.idle_s * _NS)
        expired = 0
        for connection in self.idle:
            if now_ns - connection.idle_since_ns <= idle_ns:
                break
            expired += 1
        gone, self.idle[:expired] = self.idle[:expired], []
        self.counts.expired += expired
        for connection in gone:
            connection.close()
        for held in tuple(self._held):
            held.sweep(now_ns)

    def close(self) -> None:
        """Closes every connection; asks that are still out fail."""
        self.closed = True
        self.idle.clear()
        for held in tuple(self._held):
            held.close(Reason.CONNECTION_LOST)

    def _hindrance(self) -> Reason | None:
        limits = self.limits
        if self.closed or not self.ready:
            self.counts.unreachable += 1
            return self._why_unready()
        if len(self._held) >= limits.connections_per_origin or self._total.held >= self._total.limit:
            self.counts.busy += 1
            return Reason.BUSY
        now_ns = perf_counter_ns()
        refill = (now_ns - self._refilled_ns) * limits.openings_per_s / _NS
        self._tokens = min(float(limits.openings_burst), self._tokens + refill)
        self._refilled_ns = now_ns
        if self._tokens < 1:
            self.counts.throttled += 1
            return Reason.BUSY
        self._tokens -= 1
        return None

    def _why_unready(self) -> Reason:
        if self.closed:
            return Reason.CONNECT_FAILED
        if self.tls and self.context is None:
            return Reason.TLS_FAILED
        return Reason.FORBIDDEN_ADDRESS if self._refused else Reason.CONNECT_FAILED
