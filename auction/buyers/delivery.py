"""Delivers posts: one lead to one buyer, and a word on what came of it that can be relied on.

Certainty comes first here. A connection that the buyer closes just when we write to it makes an `Unknown`, and
an unknown is a lead that nobody may touch until it is settled: so every post has a connection of its own. Only
buyers that declare `idempotent: true` get posts over connections that were kept. If one of those is lost before
a byte of the answer came, the same request goes out again at once, on a fresh one, with the same key; and of
that second answer only the buyer's own word on the lead counts (`sending`).

Whether anything left the house is not guessed from the kind of error: we write to the socket ourselves, so we
know. The parts are those of the fan-out client (addresses, trust, HTTP), but not its connections: those never
wait, and are told of time by their auction, where a post waits for its turn and for its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from time import monotonic

import msgspec

from auction.buyers.http1 import frame
from auction.buyers.origin import DeliveryLimits, Origin
from auction.buyers.pool import Total
from auction.buyers.post_connection import PostConnection
from auction.buyers.protocol import Accepted, NotSent, Rejected, Unknown
from auction.buyers.sending import Sending
from auction.buyers.signing import Signer
from auction.buyers.target import Target, compile_target
from auction.buyers.tls import Contexts
from auction.clock import Clock, SystemClock
from auction.errors import BuyerError, OperatorError
from auction.market.reasons import Reason

__all__ = ["Delivery", "DeliveryLimits", "PostRequest"]

_SWEEP_S = 1.0
_OWN_HEADERS = frozenset({"idempotency-key", "accept-encoding"})


class PostRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One lead for one buyer; secrets are filled in. A retry is the same request, with the same key.

    `idempotent`: the buyer promised that the same key again is the same lead.
    """

    url: str
    body: bytes
    idempotency_key: str
    timeout_ms: int
    headers: Mapping[str, str] = {}
    signing_secret: str | None = None
    message_id: str = ""  # of the signature; the key where it is empty
    ca_file: str | None = None
    idempotent: bool = False


class Delivery:
    """Posts to buyers. One per process and loop; `close` it."""

    def __init__(
        self,
        limits: DeliveryLimits | None = None,
        *,
        allow_private: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._limits = limits or DeliveryLimits()
        self._allow_private = allow_private
        self._clock = clock or SystemClock()
        self._contexts = Contexts()
        self._places = asyncio.Semaphore(self._limits.connections)
        self._idle = Total(self._limits.connections)
        self._origins: dict[str, Origin] = {}
        self._running: set[asyncio.Timeout] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self.in_flight = 0
        self.busy = 0
        self.opened = self.reused = self.repeated = 0  # connections; and posts sent again, as one was lost

    @property
    def idle(self) -> int:
        """Connections that were kept, and wait for a post."""
        return self._idle.held

    async def post(
        self, request: PostRequest, may_send: Callable[[], bool] = lambda: True
    ) -> Accepted | Rejected | Unknown | NotSent:
        """Sends `request` and reads the answer, by the table in `protocol`. Raises only when it is cancelled.

        `may_send` is asked right before the first byte of each sending; where it says no, nothing (more) leaves: the
        reason is `WITHHELD`. A cancelled post is an `Unknown` that nobody was told of: whoever cancels has to treat it
        as one.
        """
        if self.in_flight >= self._limits.in_flight:
            self.busy += 1
            return NotSent(Reason.BUSY, "too many posts in flight")
        self.in_flight += 1
        try:
            return await self._post(request, may_send)
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        """Waits for no buyer any longer: posts under way end now, by what is known of them. Keeps nothing."""
        self._closed = True
        now_s = asyncio.get_running_loop().time()
        for bound in self._running:
            if not bound.expired():
                bound.reschedule(now_s)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for origin in self._origins.values():
            origin.close()

    async def _post(
        self, request: PostRequest, may_send: Callable[[], bool]
    ) -> Accepted | Rejected | Unknown | NotSent:
        try:
            target = _target(request.url, tuple(request.headers.items()), request.ca_file)
            sending = Sending(frame(target.head, request.body, self._lines(request)), may_send)
        except OperatorError as error:
            return NotSent(Reason.CONNECT_FAILED, error.detail)
        origin = self._origin(target)
        origin.running += 1
        bound = asyncio.timeout(request.timeout_ms / 1000)
        try:
            async with bound:
                self._running.add(bound)
                async with origin.places, self._places:
                    await self._send(sending, origin, request.idempotent)
        except TimeoutError:
            return sending.failure(Reason.TIMEOUT, "no answer in time")
        except OperatorError as error:
            return sending.failure(Reason.CONNECT_FAILED, error.detail)
        except BuyerError as error:
            return sending.failure(Reason(error.code), error.detail)
        finally:
            self._running.discard(bound)
            origin.running -= 1
        return sending.answer()

    async def _send(self, sending: Sending, origin: Origin, idempotent: bool) -> None:
        """Fills `sending`, over a kept connection where that is safe, else a fresh one. Raises `BuyerError`."""
        kept = origin.take() if idempotent else None
        if kept is not None:
            self.reused += 1
            try:
                await self._carry(sending, origin, kept, keep=True)
                return
            except BuyerError as error:
                if error.code != Reason.CONNECTION_LOST or sending.heard:
                    raise
            if sending.sent:
                self.repeated += 1
                sending.repeated = True
        self.opened += 1
        await self._carry(sending, origin, await origin.open(), keep=idempotent)

    async def _carry(
        self, sending: Sending, origin: Origin, connection: PostConnection, *, keep: bool
    ) -> None:
        try:
            if not sending.may_send():
                raise BuyerError(Reason.WITHHELD, "this worker may not send it any more")
            await connection.carry(sending)
            origin.answered(connection)
        finally:
            if keep and connection.reusable and not self._closed:
                origin.keep(connection)
            else:
                connection.close()

    def _lines(self, request: PostRequest) -> bytes:
        """The headers of this request alone."""
        key = request.idempotency_key
        lines = f"Idempotency-Key: {key}\r\nAccept-Encoding: identity\r\n".encode()
        if not request.idempotent:
            lines += b"Connection: close\r\n"
        if request.signing_secret is not None:
            timestamp_s = self._clock.now_ms() // 1000
            lines += Signer(request.signing_secret).lines(
                request.message_id or key, timestamp_s, request.body
            )
        return lines

    def _origin(self, target: Target) -> Origin:
        origin = self._origins.get(target.origin)
        if origin is None:
            origin = Origin(target, self._limits, self._idle, self._contexts, self._allow_private)
            self._origins[target.origin] = origin
        if self._sweeper is None and not self._closed:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)
        return origin

    def _sweep(self) -> None:
        now_s = monotonic()
        self._origins = {name: origin for name, origin in self._origins.items() if origin.sweep(now_s)}
        self._sweeper = None
        if self._origins:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self._sweep)


@lru_cache(maxsize=4_096)
def _target(url: str, headers: tuple[tuple[str, str], ...], ca_file: str | None) -> Target:
    """Compiled once, as long as the catalogue says the same. Raises `OperatorError`."""
    theirs = {name: value for name, value in headers if name.lower() not in _OWN_HEADERS}
    return compile_target(url, theirs, 0, ca_file)
