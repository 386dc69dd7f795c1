"""Delivers posts: one lead to one buyer, and a word on what came of it that can be relied on.

Latency is not the product here, certainty is. So aiohttp, and one connection per post: a kept one that the
buyer closes just when we write makes an `Unknown`, and an unknown is a lead that nobody may touch until it
is settled. Whether anything left the house is not guessed from the kind of error: the client tells before
it writes.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from types import SimpleNamespace

import aiohttp
import msgspec

from auction.buyers.address import is_public
from auction.buyers.http1 import BODY_LIMIT, HEAD_LIMIT
from auction.buyers.protocol import Accepted, NotSent, Rejected, Unknown, read_post
from auction.buyers.signing import Signer
from auction.buyers.target import merged_headers
from auction.buyers.tls import client_context
from auction.clock import Clock, SystemClock
from auction.errors import OperatorError
from auction.market.reasons import Reason


class DeliveryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of the delivery of posts, over all buyers."""

    in_flight: int = 1_024
    connections: int = 256
    connections_per_host: int = 64
    body_limit: int = BODY_LIMIT


class PostRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One lead for one buyer; secrets are filled in. A retry is the same request, with the same key."""

    url: str
    body: bytes
    idempotency_key: str
    timeout_ms: int
    headers: Mapping[str, str] = {}
    signing_secret: str | None = None
    message_id: str = ""  # of the signature; the key where it is empty
    ca_file: str | None = None


class ForbiddenAddressError(OSError):
    """The address that is about to be connected to is not public."""


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
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        self.in_flight = 0
        self.busy = 0

    async def post(self, request: PostRequest) -> Accepted | Rejected | Unknown | NotSent:
        """Sends `request` and reads the answer, by the table in `protocol`. Raises only when it is cancelled.

        A cancelled post is an `Unknown` that nobody was told of: whoever cancels has to treat it as one.
        """
        if self.in_flight >= self._limits.in_flight:
            self.busy += 1
            return NotSent(Reason.BUSY, "too many posts in flight")
        self.in_flight += 1
        try:
            return await self._post(request)
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        """Closes what is open."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, request: PostRequest) -> Accepted | Rejected | Unknown | NotSent:
        line = _Line()
        try:
            response = await self._open_session().post(
                request.url,
                data=request.body,
                headers=self._headers(request),
                allow_redirects=False,
                ssl=await self._context(request.ca_file),
                timeout=aiohttp.ClientTimeout(total=request.timeout_ms / 1000),
                trace_request_ctx=line,
            )
        except OperatorError as error:
            return NotSent(Reason.CONNECT_FAILED, error.detail)
        except (aiohttp.ClientError, OSError) as error:
            return _unanswered(error, sent=line.sent)
        async with response:
            return await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> Accepted | Rejected | Unknown:
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._limits.body_limit:
                    response.close()
                    return _without_body(response.status, "the answer is too large")
        except (aiohttp.ClientError, OSError) as error:
            return _without_body(response.status, _why(error))
        return read_post(response.status, bytes(body))

    def _headers(self, request: PostRequest) -> dict[str, str]:
        headers = merged_headers(request.headers)
        headers["Idempotency-Key"] = request.idempotency_key
        headers["Accept-Encoding"] = "identity"
        if request.signing_secret is not None:
            message_id = request.message_id or request.idempotency_key
            timestamp_s = self._clock.now_ms() // 1000
            headers |= Signer(request.signing_secret).headers(message_id, timestamp_s, request.body)
        return headers

    async def _context(self, ca_file: str | None) -> ssl.SSLContext:
        if ca_file not in self._contexts:
            self._contexts[ca_file] = await asyncio.to_thread(client_context, ca_file)
        return self._contexts[ca_file]

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_note_sent)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._limits.connections,
                    limit_per_host=self._limits.connections_per_host,
                    force_close=True,
                    socket_factory=self._socket,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=HEAD_LIMIT,
                max_field_size=HEAD_LIMIT,
                trace_configs=[trace],
            )
        return self._session

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for the very address that is connected to next, be it resolved or written in the URL."""
        family, kind, protocol, _, sockaddr = info
        if not self._allow_private and not is_public(str(sockaddr[0])):
            raise ForbiddenAddressError("the address is not public")
        return socket.socket(family, kind, protocol)


class _Line:
    """Whether a request has begun to be written."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False


async def _note_sent(
    _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestHeadersSentParams
) -> None:
    """aiohttp calls this before it writes the first byte."""
    context.trace_request_ctx.sent = True


def _unanswered(error: Exception, *, sent: bool) -> Unknown | NotSent:
    if sent:
        return Unknown(_why(error))
    reason = Reason.CONNECT_FAILED
    if isinstance(error, TimeoutError):
        reason = Reason.TIMEOUT
    elif isinstance(error, aiohttp.ClientSSLError):
        reason = Reason.TLS_FAILED
    elif isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ForbiddenAddressError
    ):
        reason = Reason.FORBIDDEN_ADDRESS
    return NotSent(reason, _why(error))


def _without_body(status: int, why: str) -> Accepted | Rejected | Unknown:
    """The status came, its body did not: it counts as far as it speaks for itself."""
    outcome = read_post(status, b"")
    return Unknown(f"http_{status}, {why}") if isinstance(outcome, Unknown) else outcome


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    # not its own words: of an answer that is no HTTP they quote the bytes, and a buyer may send back what it was sent
    return type(error).__name__
