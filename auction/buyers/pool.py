"""The connections to one origin: who gets which, how many there may be, and what has become of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from operator import add
from time import perf_counter_ns

import msgspec

from auction.buyers.address import Address, Resolved
from auction.buyers.ask import Ask
from auction.buyers.connection import Connection
from auction.buyers.http1 import BODY_LIMIT, HEAD_LIMIT
from auction.buyers.opening import Opening
from auction.buyers.target import Target
from auction.market.reasons import Reason

_NS = 1_000_000_000


class FanoutLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of the fan-out client.

    `idle_s` is 4 because the usual servers close an idle connection after 5 (Node, uvicorn, Apache):
    whoever closes first decides whether the other writes into a closed connection. `drain_s` is how long an
    answer is awaited when its auction has closed: a connection that still answers is cheaper than a new one.
    `longest_s` is how long it is awaited in any case; no auction takes that long.
    """

    connections: int = 8_192
    connections_per_origin: int = 512
    openings_per_s: int = 128
    openings_burst: int = 128
    connect_timeout_s: float = 3.0
    drain_s: float = 5.0
    longest_s: float = 70.0
    idle_s: float = 4.0
    sweep_s: float = 0.25
    resolve_every_s: float = 30.0
    resolve_timeout_s: float = 5.0
    head_limit: int = HEAD_LIMIT
    body_limit: int = BODY_LIMIT


class PoolCounts(msgspec.Struct):
    """What has become of an origin's asks and connections since the start."""

    answered: int = 0
    late: int = 0  # whole answers to closed auctions
    reused: int = 0
    opened: int = 0
    retried: int = 0
    unsent: int = 0  # the auction closed while its connection was being opened
    busy: int = 0  # too many connections
    throttled: int = 0  # too many openings a second
    unreachable: int = 0  # no address that we know of, or may use
    connect_failed: int = 0
    tls_failed: int = 0
    lost: int = 0
    timed_out: int = 0
    bad_http: int = 0
    too_large: int = 0
    closed_by_peer: int = 0  # while idle
    expired: int = 0  # idle for too long

    def __add__(self, other: PoolCounts) -> PoolCounts:
        return PoolCounts(*map(add, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))


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
