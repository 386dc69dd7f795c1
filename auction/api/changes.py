"""What the doors share that change the catalogue: so many changes a minute for each key, and one effect of a change
that carries an `Idempotency-Key`, however often it is sent.

The answer is written in the transaction of the change (`Owned.keep`), so that neither is there without the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Final

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from auction.api.idempotency import hash_of, once, read_key
from auction.api.replies import headers_of_reply
from auction.api.wire import headers_of, key_of
from auction.changes.administration import Administration
from auction.idempotency import Header, KeyedRequest, Owned, Reply
from auction.ping.rate import rate_headers
from auction.post.rate import KeyRate

WAIT_S: Final = 2.0
"""How long a change waits for another with its `Idempotency-Key`."""
LEASE_MS: Final = 15_000
"""After so long, work under a key is held for dead; should it not be, it changes nothing any more."""

Work = Callable[[Owned | None], Awaitable[Reply]]
"""Makes the change. Its answer is kept by who owns a key."""


class Changes:
    """Has the changes of one door made. A `caller` is such as `admin:ops` or `buyer:sunrise`."""

    def __init__(self, administration: Callable[[], Administration], rate: KeyRate) -> None:
        self._administration = administration
        self._rate = rate

    async def admit(self, request: Request, caller: str) -> tuple[Header, ...]:
        """The headers that tell where the caller's key stands with this change. Raises `SellerError` 429."""
        key = key_of(headers_of(request.scope))
        assert key is not None, "a caller has a key"
        return rate_headers(await self._rate.admit(caller, key))

    async def once(self, request: Request, caller: str, data: dict[str, Any], work: Work) -> Response:
        """The answer of `work`; of a change that was sent before with this `Idempotency-Key`, the one it got then."""
        standing = await self.admit(request, caller)
        raw = headers_of(request.scope).get(b"idempotency-key")
        if raw is None:
            answered = await work(None)
        else:
            keyed = KeyedRequest(
                caller=caller,
                key=read_key(raw),
                door=f"{request.method} {request.url.path}",
                body_hash=hash_of(data),
                give_up_s=perf_counter() + WAIT_S,
                lease_ms=LEASE_MS,
            )
            answered = await once(self._administration().idempotency, keyed, work)
        return response(replace(answered, passing=standing))


def response(answered: Reply) -> Response:
    """A reply as Starlette sends it."""
    sent = Response(answered.body, answered.status)
    sent.raw_headers += headers_of_reply(answered)
    return sent
