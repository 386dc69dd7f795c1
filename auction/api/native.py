"""The native door (DESIGN 7): `/ping`, `/post` and `/direct`, wire in and wire out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import partial
from time import perf_counter
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from auction.api.bodies import Bodies
from auction.api.gate import arrived
from auction.api.idempotency import KeyedDoor, of_the_key, read_key, reply_of_post
from auction.api.wire import (
    JSON_TYPE,
    MOST_NAME,
    MOST_NAMED,
    encode_json,
    headers_of,
    key_of,
    read_object,
    respond,
    too_deep,
)
from auction.errors import FieldMistake, SellerError
from auction.exchange import Exchange
from auction.idempotency import Header, KeyedRequest, Reply
from auction.market.market import TradedSeller
from auction.market.money import from_wire
from auction.market.personal import names_somebody
from auction.ping.deadlines import granted_tmax_ms
from auction.ping.offer import PingRequest
from auction.ping.service import LEASE_SLACK_MS, Pinged, RateState
from auction.post.answer import PostRequest
from auction.post.claiming import LEASE_MS as POST_LEASE_MS

LEAST_TMAX_MS, MOST_TMAX_MS = 10, 60_000
MOST_TEXT = 128
MOST_GUESSES = 5
"""A guess at what an unknown key was meant to be costs a tenth of a millisecond."""
PING_KEYS = frozenset({"campaign", "lead", "tmax", "floor", "sub_id", "test"})
POST_KEYS = frozenset({"ping_id", "lead"})


class NativeDoor:
    """Reads requests into what the services take, and their answers into responses. Each door gives its status."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.bodies = Bodies(exchange.settings.most_body_bytes)
        self.keyed = KeyedDoor(exchange)

    async def ping(self, scope: Scope, receive: Receive, send: Send) -> int:
        """`POST /ping`"""
        arrived_s = arrived(scope)
        seller, data, key = await self._read(scope, receive)
        if key is not None:
            tmax_ms = self._tmax_ms(data)
            keyed = _keyed("ping", seller, data, key, arrived_s, tmax_ms, tmax_ms + LEASE_SLACK_MS)
            return await self.keyed.answer(send, keyed, partial(self._ping, seller, data, arrived_s))
        pinged = await self._exchange.pings.ping(seller, read_ping(data), arrived_s)
        return await respond(send, 200, encode_json(pinged.answer), (JSON_TYPE, *ping_headers(pinged)))

    async def post(self, scope: Scope, receive: Receive, send: Send) -> int:
        """`POST /post`"""
        seller, data, key = await self._read(scope, receive)
        rate = rate_headers(await self._exchange.post_rate.admit(seller))
        if key is not None:
            wait_ms = self._exchange.settings.post_wait_ms
            keyed = _keyed("post", seller, data, key, perf_counter(), wait_ms, POST_LEASE_MS)
            return await self.keyed.answer(send, keyed, partial(self._post, seller, data, rate))
        answer = await self._exchange.posts.post(seller, read_post(data))
        return await respond(send, 200, answer, [JSON_TYPE, *rate])

    async def direct(self, scope: Scope, receive: Receive, send: Send) -> int:
        """`POST /direct`: ping and post in one. The answer is the post's, or the ping's where nobody bid."""
        arrived_s = arrived(scope)
        seller, data, key = await self._read(scope, receive)
        if key is not None:
            tmax_ms = self._tmax_ms(data)
            wait_ms = tmax_ms + self._exchange.settings.post_wait_ms
            keyed = _keyed("direct", seller, data, key, arrived_s, wait_ms, tmax_ms + POST_LEASE_MS)
            return await self.keyed.answer(send, keyed, partial(self._direct, seller, data, arrived_s, key))
        request, body_hash = read_ping(data), hash_of(data)
        pinged, answer = await self._exchange.directs.direct(seller, request, body_hash, arrived_s)
        return await respond(
            send, 200, answer or encode_json(pinged.answer), (JSON_TYPE, *ping_headers(pinged))
        )

    async def _ping(self, seller: TradedSeller, data: dict[str, Any], arrived_s: float) -> Reply:
        pinged = await self._exchange.pings.ping(seller, read_ping(data), arrived_s)
        return Reply(200, encode_json(pinged.answer), (JSON_TYPE,), ping_headers(pinged))

    async def _post(self, seller: TradedSeller, data: dict[str, Any], rate: tuple[Header, ...]) -> Reply:
        answer = await self._exchange.posts.post(seller, read_post(data))
        return reply_of_post(Reply(200, answer, (JSON_TYPE,), rate))

    async def _direct(self, seller: TradedSeller, data: dict[str, Any], arrived_s: float, key: str) -> Reply:
        directs = self._exchange.directs
        try:
            pinged, answer = await directs.direct(seller, read_ping(data), hash_of(data), arrived_s, key)
        except SellerError as error:
            raise of_the_key(error) from None
        if answer is None:
            return Reply(200, encode_json(pinged.answer), (JSON_TYPE,), ping_headers(pinged))
        known = pinged.open_ping is None  # to the ledger, by its key
        return reply_of_post(Reply(200, answer, (JSON_TYPE,), ping_headers(pinged), replayed=known))

    def _tmax_ms(self, data: dict[str, Any]) -> int:
        """How long this ping may take; no time at all where it is refused in any case."""
        named, asked = data.get("campaign"), data.get("tmax")
        campaign = self._exchange.floor.market.campaigns.get(named) if isinstance(named, str) else None
        if campaign is None:
            return 0
        fits = isinstance(asked, int) and LEAST_TMAX_MS <= asked <= MOST_TMAX_MS
        return granted_tmax_ms(asked if fits else None, campaign.rules.tmax_ms)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[TradedSeller, dict[str, Any], str | None]:
        """Who sends, what, and the `Idempotency-Key` it comes with, if any."""
        headers = headers_of(scope)
        seller = self._exchange.seller_of(key_of(headers))
        body = await self.bodies.read(headers.get(b"content-length"), receive)
        key = headers.get(b"idempotency-key")
        data = read_object(body, headers.get(b"content-type"))
        return seller, data, None if key is None else read_key(key)


def _keyed(
    door: str,
    seller: TradedSeller,
    data: dict[str, Any],
    key: str,
    since_s: float,
    wait_ms: int,
    lease_ms: int,
) -> KeyedRequest:
    return KeyedRequest(
        caller=f"seller:{seller.id}",
        key=key,
        door=door,
        body_hash=hash_of(data),
        give_up_s=since_s + wait_ms / 1000,
        lease_ms=lease_ms,
        by_ledger=door != "ping",
    )


def read_ping(data: Mapping[str, Any]) -> PingRequest:
    """A ping's envelope, with every key that is wrong noted, to be told together with what is wrong in the lead.

    Raises `SellerError` 422 where there is no campaign to read the lead by, or no lead.
    """
    reading = _Reading(data, PING_KEYS)
    unknown = len(reading.mistakes)
    campaign, lead = reading.text("campaign", required=True), reading.object("lead")
    readable = len(reading.mistakes) == unknown
    request = PingRequest(
        campaign=campaign or "",
        lead=lead,
        tmax_ms=reading.whole("tmax", LEAST_TMAX_MS, MOST_TMAX_MS, "milliseconds"),
        floor_micros=reading.money("floor"),
        sub_id=reading.id_of_theirs("sub_id"),
        test=reading.flag("test"),
        mistakes=reading.mistakes,
    )
    if not readable:
        reading.done()
    return request


def read_post(data: Mapping[str, Any]) -> PostRequest:
    """A post's envelope. Raises `SellerError` 422 naming every key that is wrong."""
    reading = _Reading(data, POST_KEYS)
    ping_id = reading.text("ping_id", required=True)
    lead = reading.object("lead")
    reading.done()
    return PostRequest(ping_id or "", lead, hash_of(data))


def hash_of(data: Mapping[str, Any]) -> bytes:
    """The same for the same request, however its JSON is spaced and ordered. Raises `SellerError` 400."""
    try:
        body = msgspec.json.encode(data, order="sorted")
    except RecursionError:  # it may be read where the stack is lower, and not be written here
        raise too_deep() from None
    return hashlib.blake2b(body, digest_size=16).digest()


class _Reading:
    """One pass over an envelope that gathers every mistake."""

    __slots__ = ("_data", "mistakes")

    def __init__(self, data: Mapping[str, Any], known: frozenset[str]) -> None:
        self._data = data
        self.mistakes: list[FieldMistake] = []
        if not data.keys() <= known:
            self._name_unknown(data, sorted(known))

    def text(self, name: str, *, required: bool = False) -> str | None:
        value = self._data.get(name)
        if value is None:
            if required:
                self._wrong(name, "is missing")
        elif not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT or not value.isprintable():
            self._wrong(name, f"expected text of 1 to {MOST_TEXT} characters, no control characters")
        else:
            return value
        return None

    def id_of_theirs(self, name: str) -> str | None:
        """An id that the sender made up: kept in clear, so it may not name anybody."""
        value = self.text(name)
        if value is not None and names_somebody(value):
            self._wrong(name, "looks like an email address or a phone number: send an id that names nobody")
            return None
        return value

    def object(self, name: str) -> dict[str, Any]:
        value = self._data.get(name)
        if isinstance(value, dict):
            return value
        self._wrong(name, "is missing" if value is None else "expected an object of fields")
        return {}

    def whole(self, name: str, least: int, most: int, unit: str) -> int | None:
        value = self._data.get(name)
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least <= value <= most or value != int(value):
            self._wrong(name, f"expected {least} to {most} {unit}")
            return None
        return int(value)

    def money(self, name: str) -> int:
        value = self._data.get(name)
        if value is None:
            return 0
        if isinstance(value, str):
            self._wrong(name, "expected a number such as 25.00")
            return 0
        try:
            return from_wire(value)
        except ValueError as error:
            self._wrong(name, str(error))
            return 0

    def flag(self, name: str) -> bool:
        value = self._data.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._wrong(name, "expected true or false")
        return False

    def done(self) -> None:
        if self.mistakes:
            raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=self.mistakes)

    def _name_unknown(self, data: Mapping[str, Any], known: list[str]) -> None:
        unknown = [name for name in data if name not in known]
        for place, name in enumerate(unknown[:MOST_NAMED]):
            name = name[:MOST_NAME]
            near = get_close_matches(name, known, 1) if place < MOST_GUESSES else []
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            self._wrong(name, "unknown key; " + hint)

    def _wrong(self, field: str, error: str) -> None:
        self.mistakes.append(FieldMistake(field, error))


def ping_headers(pinged: Pinged) -> tuple[Header, ...]:
    """What goes beside the answer to a ping: our own time and the buyers', and what the seller may still send."""
    timing = b"own;dur=%.3f, buyers;dur=%.3f" % (pinged.own_us / 1000, pinged.buyers_us / 1000)
    return ((b"server-timing", timing), *rate_headers(pinged.rate))


def rate_headers(rate: RateState | None) -> tuple[Header, ...]:
    """The `X-RateLimit-*` headers, where there is a limit."""
    if rate is None:
        return ()
    return (
        (b"x-ratelimit-limit", b"%d" % rate.limit),
        (b"x-ratelimit-remaining", b"%d" % rate.remaining),
        (b"x-ratelimit-reset", b"%d" % -(-rate.reset_ms // 1000)),
    )
