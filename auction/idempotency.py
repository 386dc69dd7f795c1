"""A request with an `Idempotency-Key` has one effect and one answer, however often it is sent within a day (P5).

What is kept is the answer proper: what was done, and what is wrong with the request. What only says "not now" (429,
503, somebody else is at it) is not, and the key is free again. Keys and bodies are kept as keyed hashes and answers
sealed, for a seller's key may well be a phone number.

A redirect URL may name a person, and who was forgotten must be forgotten here too, and in every file that a store of
keys ever wrote. So it is cut out of what is kept, and found again by the lead in the ledger, where it lies sealed and
`auction forget` takes it out. Where the ledger does not answer then, nor do we (503, the key stays as it is): an answer
without its URL would be another answer to the same request, and the consumer would be sent nowhere.

The keys come and go with the store that keeps them. Where the ledger tells a repeat by itself (`by_ledger`: posts,
and direct leads, whose ping's id follows from the key), a store that is away or full of this seller's keys is no
reason to refuse a sale: the request goes on without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter

import msgspec
import uuid_utils
from msgspec.structs import replace
from sqlalchemy import Connection

from auction.clock import Clock
from auction.errors import HouseError, SellerError
from auction.ledger.request_keys import end_key
from auction.ledger.sealing import Sealer
from auction.request_keys import Begun, Ended, KeyUse, OfAnother, RequestKeys, TooMany
from auction.tally import counts

WAIT_STEP_S = 0.025
MOST_ANSWER_BYTES = 32_768
"""A longer answer is not kept."""
MOST_WAITING = 1_000
"""So many requests of this worker wait for another with their key; one more is told at once to come again."""

Header = tuple[bytes, bytes]


Links = Callable[[str], Awaitable[str | None]]
"""The redirect URL of a lead as the ledger has it now. Raises `HouseError` where the ledger is away."""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer to a request. `headers` belong to it and are given again with it, `passing` to this response alone.

    `lead_id` is there where the body has a redirect URL (`linked`): that of this lead, in `link` (from, to).
    """

    status: int
    body: bytes
    headers: tuple[Header, ...]
    passing: tuple[Header, ...] = ()
    replayed: bool = False
    lead_id: str | None = None
    link: tuple[int, int] = (0, 0)


def linked(reply: Reply, lead_id: str, redirect_url: str | None) -> Reply:
    """The reply, whose JSON has this lead's redirect URL under `redirect_url`, not as its first key."""
    if redirect_url is None:
        return reply
    part = _part_of(redirect_url)
    start = reply.body.find(part)
    return reply if start < 0 else replace(reply, lead_id=lead_id, link=(start, start + len(part)))


class KeyedRequest(msgspec.Struct, frozen=True, gc=False):
    """A request with its key. `door` and `body_hash` are what it says; `caller` is such as `seller:acme`.

    It waits until `give_up_s` (of `perf_counter`) for another with its key; its own work is given up for dead after
    `lease_ms`. `by_ledger`: the ledger knows a repeat of it without the key.
    """

    caller: str
    key: str
    door: str
    body_hash: bytes
    give_up_s: float
    lease_ms: int
    by_ledger: bool = False


class Owned:
    """A key in the ledger that a request has begun: its answer can be kept in the transaction of what it did."""

    def __init__(self, use: KeyUse, seal: Callable[[Reply], bytes], clock: Clock) -> None:
        self.kept = False
        self._use = use
        self._seal = seal
        self._clock = clock

    def keep(self, conn: Connection, reply: Reply) -> None:
        """The answer is there with the change, or neither is. May be called again in another try.

        Raises `SellerError` 409 where the lease was over and another has the key: this transaction must not commit.
        """
        if not end_key(conn, self._use, self._clock.now_ms(), self._seal(reply)):
            raise in_progress()
        self.kept = True


class Idempotency:
    """Does the work of requests with a key, once each. Counts `outcomes`; `waiting` are those that wait now."""

    def __init__(
        self,
        keys: RequestKeys,
        sealer: Sealer,
        clock: Clock,
        most_answer_bytes: int = MOST_ANSWER_BYTES,
        links: Links | None = None,
    ) -> None:
        """`links` is needed where replies have redirect URLs."""
        self.outcomes = counts()  # (what became of a request with a key,)
        self.waiting = 0
        self._keys = keys
        self._hashes = sealer
        # A key of their own: answers are many, and a key is good for 2**32 seals.
        self._sealer = Sealer([sealer.keyed_hash("seal of answers", b"")])
        self._clock = clock
        self._most_answer_bytes = most_answer_bytes
        self._links = links

    async def once(self, request: KeyedRequest, work: Callable[[], Awaitable[Reply]]) -> Reply:
        """The answer that this request got before, or that of `work`, done now and kept.

        What `work` raises is not kept. Raises `SellerError` 409 `idempotency_conflict` and `request_in_progress`,
        429 `too_many_keys`, and `HouseError` where the store is away.
        """
        return await self.once_kept(request, lambda _: work())

    async def once_kept(
        self, request: KeyedRequest, work: Callable[[Owned | None], Awaitable[Reply]]
    ) -> Reply:
        """The same, where the keys are in the ledger: `work` may keep its answer in the transaction of what it does."""
        use = self._use(request)
        begun = await self._begin(request, use)
        if begun is None:
            self.outcomes[("unkept",)] += 1
            return await work(None)
        if isinstance(begun, Ended):
            reply = await self._whole(_decode(self._sealer.open(begun.answer, use.name)))
            self.outcomes[("replayed",)] += 1
            return replace(reply, replayed=True)
        owned = Owned(use, lambda reply: self._seal(reply, use), self._clock)
        try:
            reply = await work(owned)
        except BaseException:
            self.outcomes[("freed",)] += 1
            # if it was kept all the same (a commit of which nobody heard), it stays
            await self._end(use, None)
            raise
        if owned.kept:
            self.outcomes[("kept",)] += 1
            return reply
        sealed = self._seal(reply, use)
        fits = len(sealed) <= self._most_answer_bytes
        named = _KEY in _without_link(reply).body  # a door that did not say so: rather no key than a name
        self.outcomes[("unkept" if named else "kept" if fits else "too_large",)] += 1
        await self._end(use, sealed if fits and not named else None)
        return reply

    async def _whole(self, kept: Reply) -> Reply:
        """What was kept, with the redirect URL that its lead has; without one where the lead was forgotten."""
        if kept.lead_id is None:
            return kept
        assert self._links is not None, "a reply with a redirect URL was kept"
        url = await self._links(kept.lead_id)
        if url is None:
            return kept
        at, _ = kept.link
        return replace(kept, body=kept.body[:at] + _part_of(url) + kept.body[at:])

    async def _begin(self, request: KeyedRequest, use: KeyUse) -> Begun | Ended | None:
        """The key, begun; or its answer; None: do without. Waits for one that is under way."""
        while True:
            try:
                gate = await self._keys.begin(use, self._clock.now_ms(), request.lease_ms)
            except HouseError:
                if request.by_ledger:
                    return None
                raise
            if isinstance(gate, Begun | Ended):
                return gate
            if isinstance(gate, OfAnother):
                self.outcomes[("conflict",)] += 1
                raise conflict()
            if isinstance(gate, TooMany):
                if request.by_ledger:
                    return None
                self.outcomes[("too_many",)] += 1
                raise _too_many(gate.free_at_ms - self._clock.now_ms())
            if self.waiting >= MOST_WAITING or perf_counter() + WAIT_STEP_S >= request.give_up_s:
                self.outcomes[("in_progress",)] += 1
                raise in_progress()
            self.waiting += 1
            try:
                await asyncio.sleep(WAIT_STEP_S)
            finally:
                self.waiting -= 1

    async def _end(self, use: KeyUse, answer: bytes | None) -> None:
        """If this fails the answer is given all the same, and the key is free when its lease is over."""
        with suppress(HouseError):
            await self._keys.end(use, self._clock.now_ms(), answer)

    def _seal(self, reply: Reply, use: KeyUse) -> bytes:
        return self._sealer.seal(_encode(_without_link(reply)), use.name)

    def _use(self, request: KeyedRequest) -> KeyUse:
        hashed = self._hashes.keyed_hash
        named = f"{request.caller}:{request.key}".encode()
        said = request.door.encode() + b"\0" + request.body_hash
        return KeyUse(
            caller=request.caller,
            name=hashed("request key", named)[:16],
            print_of=hashed("request", said)[:16],
            owner=uuid_utils.uuid7().hex,
        )


_KEY = b',"redirect_url":'
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reply).decode


def _without_link(reply: Reply) -> Reply:
    """What is kept of a reply: nothing of this response alone, and no redirect URL, but where it stood."""
    start, end = reply.link
    return replace(reply, passing=(), body=reply.body[:start] + reply.body[end:], link=(start, start))


def _part_of(redirect_url: str) -> bytes:
    """Where it stands in a body, with the comma before it."""
    return _KEY + msgspec.json.encode(redirect_url)


def conflict() -> SellerError:
    """The key is another request's."""
    return SellerError(
        409, "idempotency_conflict", "This Idempotency-Key was used with another request; send a new one."
    )


def in_progress() -> SellerError:
    """The first request with this key took too long to wait for."""
    return SellerError(
        409,
        "request_in_progress",
        "A request with this Idempotency-Key is on its way.",
        headers=[("retry-after", "1")],
    )


def _too_many(wait_ms: int) -> SellerError:
    return SellerError(
        429,
        "too_many_keys",
        "You have used as many Idempotency-Keys within a day as are kept; send this without one, or later.",
        headers=[("retry-after", str(max(1, -(-wait_ms // 1000))))],
    )
