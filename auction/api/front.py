"""The front of the house: who may connect, how long everything may take, and how it closes.

A server of our own in place of uvicorn's, for two reasons. It bounds what a sender may take: the time for a head and
for a body, the size of a head, connections, requests in a row; what is refused is told as a problem, and counted. And
a request costs a third less (docs/performance.md). To the application it is a plain ASGI server, so any other can
take its place.

One timer for all connections looks every quarter of a second which of them takes too long; its clock (`now_s`) is all
the time that a connection knows, so a request costs no look at the clock and no timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import defaultdict

import msgspec

from auction.api.accepting import Accepting
from auction.api.connection import Connection
from auction.api.gate import Gate
from auction.api.request import Served
from auction.errors import HouseError
from auction.tally import Family, Labels, counter, gauge, plain_counter

BACKLOG = 2_048
_FULL = HouseError("house_full", "Too many connections; try again shortly.")


class FrontLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may take. Times are in seconds.

    A body has `body_s`, and as long again as it takes at `least_per_s` bytes a second. `idle_s` is longer than the 60
    after which the usual load balancers drop an idle connection: whoever drops it first should not be the one
    that is written to. `write_s` is for a client that does not take its answer, `linger_s` for one that goes on
    sending when it was told to stop.
    """

    connections: int = 10_000
    head_bytes: int = 16 * 1024
    headers: int = 100
    head_s: float = 10.0
    body_s: float = 10.0
    least_per_s: float = 16 * 1024
    idle_s: float = 75.0
    write_s: float = 30.0
    linger_s: float = 2.0
    sweep_s: float = 0.25


class Front:
    """Serves an ASGI application on a listening socket, from `start` to `stop`."""

    def __init__(
        self,
        app: Served,
        limits: FrontLimits | None = None,
        gate: Gate | None = None,
        *,
        shared: bool = False,
    ) -> None:
        """Without a `gate` every request begins at once. `shared`: other workers serve the same socket."""
        self._shared = shared
        self.app = app
        self.gate = gate
        self.limits = limits or FrontLimits()
        self.stopping = False
        self.now_s = 0.0
        self.connected = 0
        self.refused: defaultdict[str, int] = defaultdict(int)
        self._connections: set[Connection] = set()
        self._changed = asyncio.Event()
        self._given_up = False
        self._accepting: Accepting | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, listening: socket.socket) -> None:
        """Serve who connects to `listening`; it is ours from now on."""
        self.loop = asyncio.get_running_loop()
        self._sweep()
        self._accepting = Accepting(listening, lambda: Connection(self), shared=self._shared)
        await self._accepting.start(BACKLOG)

    async def stop(self, within_s: float) -> None:
        """Take in nothing more; return when what was taken in is answered, or after `within_s`.

        What runs still is left running: it ends by the house's own rules, and a lead in the middle of its sale must.
        """
        self.stopping = True
        if self._accepting is not None:
            self._accepting.stop()
        for connection in tuple(self._connections):
            connection.shut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._connections and not self._given_up:
                    self._changed.clear()
                    await self._changed.wait()
        if self._timer is not None:
            self._timer.cancel()

    def give_up(self) -> None:
        """`stop` waits no longer; what runs is left running."""
        self._given_up = True
        self._changed.set()

    def opened(self, connection: Connection) -> None:
        """There is one connection more; one too many is told so, unless too many are being told."""
        self.connected += 1
        others, most = len(self._connections), self.limits.connections
        self._connections.add(connection)
        if self.stopping:  # it was on its way in
            connection.shut()
        elif others >= most:
            self.refused["connections"] += 1
            if others < 2 * most:
                connection.turn_away(_FULL)
            else:
                connection.abort()

    def closed(self, connection: Connection) -> None:
        """It is gone, and nothing runs for it any more."""
        self._connections.discard(connection)
        if not self._connections:
            self._changed.set()

    def families(self) -> list[Family]:
        """What it has counted, for `/metrics`."""
        refused: dict[Labels, float] = {(why,): float(times) for why, times in self.refused.items()}
        return [
            *(self.gate.families() if self.gate is not None else ()),
            plain_counter("auction_http_connected", "Connections of clients since the start", self.connected),
            gauge("auction_http_connections", "Connections of clients", len(self._connections)),
            counter("auction_http_refused", "What was turned away before a door saw it", ("why",), refused),
        ]

    def _sweep(self) -> None:
        self.now_s = self.loop.time()
        for connection in tuple(self._connections):
            connection.sweep(self.now_s)
        self._timer = self.loop.call_later(self.limits.sweep_s, self._sweep)
