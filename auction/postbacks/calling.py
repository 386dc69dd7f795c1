"""One HTTP request to a seller's endpoint, by the parts that posts to buyers go out with.

A seller's URL is as dangerous as a buyer's, so its addresses are held to the same rule (`buyers/address.py`). Every
request has a connection of its own, redirects are not followed, and of an answer no more is read than its bounds.
"""

from __future__ import annotations

import asyncio

import msgspec

from auction.buyers.http1 import frame, request_head
from auction.buyers.origin import DeliveryLimits, Origin
from auction.buyers.pool import Total
from auction.buyers.post_connection import AnswerReader
from auction.buyers.sending import Sending
from auction.buyers.target import Target, authority_of, split_url
from auction.buyers.tls import Contexts
from auction.errors import BuyerError, OperatorError
from auction.market.reasons import Reason

MOST_ORIGINS = 256
"""Whose addresses are remembered."""
_LIMITS = DeliveryLimits(connections=1, body_limit=16 * 1024)
_HEADERS = {"User-Agent": "auction", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}


class Answer(msgspec.Struct, frozen=True):
    """What came back: a status (0: none, for `error`), and what the endpoint wrote."""

    status: int
    error: str | None = None
    body: bytes = b""
    retry_after: str | None = None


class _Reader(AnswerReader):
    """Also keeps `Retry-After`."""

    __slots__ = ("retry_after",)

    def __init__(self, head_limit: int, body_limit: int) -> None:
        self.retry_after: str | None = None
        super().__init__(head_limit, body_limit)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1")[:64]


class Caller:
    """Calls endpoints. One per process and loop."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._contexts = Contexts()
        self._origins: dict[str, Origin] = {}

    async def call(
        self, url: str, timeout_s: float, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """`GET url`, or `POST` where there is a body of JSON. Raises only when it is cancelled."""
        try:
            target, request = _request(url, body, headers or {})
        except OperatorError as wrong:
            return Answer(0, wrong.code)
        sending = Sending(request)
        readers: list[_Reader] = []

        def reader(head_limit: int, body_limit: int) -> _Reader:
            readers.append(_Reader(head_limit, body_limit))
            return readers[-1]

        error: str | None = None
        try:
            async with asyncio.timeout(timeout_s):
                connection = await self._origin(target).open(reader)
                try:
                    await connection.carry(sending)
                finally:
                    connection.close()
        except TimeoutError:
            error = Reason.TIMEOUT.value
        except (BuyerError, OperatorError) as failed:
            error = str(failed.code)
        retry_after = readers[-1].retry_after if readers else None
        return Answer(sending.status, error, sending.body or b"", retry_after)

    def _origin(self, target: Target) -> Origin:
        origin = self._origins.pop(target.origin, None)
        if origin is None:
            origin = Origin(target, _LIMITS, Total(0), self._contexts, self._allow_private)
            while len(self._origins) >= MOST_ORIGINS:
                del self._origins[next(iter(self._origins))]
        self._origins[target.origin] = origin  # the last used stands last
        return origin


def _request(url: str, body: bytes | None, headers: dict[str, str]) -> tuple[Target, bytes]:
    """Whom to connect to, and the bytes to send. Raises `OperatorError` for a URL that cannot be called."""
    scheme, host, port, path = split_url(url)
    authority = authority_of(scheme, host, port)
    target = Target(f"{scheme}://{authority}", scheme, host, port, b"", 0)
    if body is not None:
        told = {**_HEADERS, "Content-Type": "application/json", **headers}
        return target, frame(request_head("POST", authority, path, told), body)
    lines = [f"GET {path} HTTP/1.1", f"Host: {authority}"]
    lines += [f"{name}: {value}" for name, value in (_HEADERS | headers).items()]
    return target, "\r\n".join([*lines, "", ""]).encode("latin-1")
