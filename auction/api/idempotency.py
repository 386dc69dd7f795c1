"""`Idempotency-Key` at the doors: the header in, the kept answer out. What a key means is in `auction.idempotency`."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.types import Send

from auction.api.replies import respond_reply
from auction.api.wire import PROBLEM_TYPE, problem, too_deep
from auction.errors import FieldMistake, SellerError
from auction.exchange import Exchange
from auction.idempotency import Idempotency, KeyedRequest, Owned, Reply, conflict, in_progress, linked
from auction.post.answer import decode_post_answer

MOST_KEY = 128
NOT_NOW = frozenset({401, 408, 412, 428, 429})
"""With these, as with a `Retry-After`, the request as such is not answered yet: it may come again with its key."""
_IN_OTHER_WORDS = {"used_ping": conflict, "post_in_progress": in_progress}


class KeyedDoor:
    """Answers requests that carry a key."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def answer(self, send: Send, request: KeyedRequest, work: Callable[[], Awaitable[Reply]]) -> int:
        """Respond with what `work` answers, or what the request was answered before; gives the status.

        Raises what is not an answer.
        """

        return await respond_reply(send, await once(self._exchange.idempotency, request, lambda _: work()))


async def once(
    idempotency: Idempotency, request: KeyedRequest, work: Callable[[Owned | None], Awaitable[Reply]]
) -> Reply:
    """What `work` answers, or what the request was answered before. Raises what is not an answer."""

    async def worked(owned: Owned | None) -> Reply:
        try:
            return await work(owned)
        except SellerError as error:
            if not is_answer(error):
                raise
            status, body, headers = problem(error)
            told = [(name.encode(), value.encode()) for name, value in headers]
            return Reply(status, body, (PROBLEM_TYPE, *told))

    return await idempotency.once_kept(request, worked)


def reply_of_post(reply: Reply) -> Reply:
    """The reply whose body is a post's answer as it is, its redirect URL pointed out: that is not kept with it."""
    if b'"redirect_url":' not in reply.body:
        return reply
    answer = decode_post_answer(reply.body)
    return linked(reply, answer.lead_id, answer.redirect_url)


def is_answer(error: SellerError) -> bool:
    """Whether the same request would hear the same again, now and later."""
    return error.status not in NOT_NOW and all(name != "retry-after" for name, _ in error.headers)


def of_the_key(error: SellerError) -> SellerError:
    """What a direct lead is told where the ledger knew its key: it never heard of a ping."""
    told = _IN_OTHER_WORDS.get(error.code)
    return error if told is None else told()


def read_key(raw: bytes) -> str:
    """The value of an `Idempotency-Key`. Raises `SellerError` 422."""
    key = raw.decode("latin-1")
    if not 0 < len(key) <= MOST_KEY or not key.isprintable():
        mistake = FieldMistake("Idempotency-Key", f"expected 1 to {MOST_KEY} printable characters")
        raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=[mistake])
    return key


def hash_of(data: Mapping[str, Any]) -> bytes:
    """The same for the same request, however its JSON is spaced and ordered. Raises `SellerError` 400."""
    try:
        body = msgspec.json.encode(data, order="sorted")
    except RecursionError:  # it may be read where the stack is lower, and not be written here
        raise too_deep() from None
    return hashlib.blake2b(body, digest_size=16).digest()
