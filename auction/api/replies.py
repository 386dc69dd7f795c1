"""The headers of answers: what is told beside a body, by the doors that share it."""

from __future__ import annotations

from starlette.types import Send

from auction.api.wire import respond
from auction.errors import ExchangeError, HouseError, SellerError
from auction.idempotency import Header, Reply
from auction.ping.rate import rate_headers
from auction.ping.service import Pinged

REPLAYED = (b"idempotent-replayed", b"true")


async def respond_reply(send: Send, reply: Reply) -> int:
    """One reply as a whole response; gives its status."""
    return await respond(send, reply.status, reply.body, headers_of_reply(reply))


def headers_of_reply(reply: Reply) -> tuple[Header, ...]:
    """All headers with which a reply is given now."""
    return (*reply.headers, *reply.passing, *((REPLAYED,) if reply.replayed else ()))


def headers_of_error(error: ExchangeError) -> tuple[Header, ...]:
    """The headers that belong to an error, whatever the shape of its body."""
    told: list[tuple[str, str]] = []
    if isinstance(error, SellerError):
        told += error.headers
        if error.status == 401:
            told.append(("www-authenticate", "Bearer"))
    elif isinstance(error, HouseError) and error.status == 503:
        told.append(("retry-after", str(error.retry_after_s)))
    return tuple((name.encode(), value.encode()) for name, value in told)


def ping_headers(pinged: Pinged) -> tuple[Header, ...]:
    """What goes beside the answer to a ping: our own time and the buyers', and what the seller may still send."""
    timing = b"own;dur=%.3f, buyers;dur=%.3f" % (pinged.own_us / 1000, pinged.buyers_us / 1000)
    return ((b"server-timing", timing), *rate_headers(pinged.rate))
