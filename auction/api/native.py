"""The native door (DESIGN 7): `/ping`, `/post` and `/direct`, wire in and wire out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from difflib import get_close_matches
from time import perf_counter
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from auction.api.wire import JSON_TYPE, encode_json, read_body, read_head, read_object, respond
from auction.errors import FieldMistake, SellerError
from auction.exchange import Exchange
from auction.market.market import TradedSeller
from auction.market.money import from_wire
from auction.ping.offer import PingRequest
from auction.ping.service import Pinged, rate_headers
from auction.post.answer import PostRequest

LEAST_TMAX_MS, MOST_TMAX_MS = 10, 60_000
MOST_TEXT = 128


class NativeDoor:
    """Reads requests into what the services take, and their answers into responses."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._most_bytes = exchange.settings.most_body_bytes

    async def ping(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /ping`"""
        arrived_s = perf_counter()
        seller, data, _ = await self._read(scope, receive)
        pinged = await self._exchange.pings.ping(seller, read_ping(data), arrived_s)
        await respond(send, 200, encode_json(pinged.answer), _ping_headers(pinged))

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /post`"""
        seller, data, _ = await self._read(scope, receive)
        answer = await self._exchange.posts.post(seller, read_post(data))
        await respond(send, 200, answer)

    async def direct(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`POST /direct`: ping and post in one."""
        arrived_s = perf_counter()
        seller, data, _ = await self._read(scope, receive)
        answer = await self._exchange.posts.direct(seller, read_ping(data), body_hash(data), arrived_s)
        if isinstance(answer, Pinged):
            await respond(send, 200, encode_json(answer.answer), _ping_headers(answer))
        else:
            await respond(send, 200, answer)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[TradedSeller, dict[str, Any], bytes]:
        head = read_head(scope)
        seller = self._exchange.seller_of(head.key)
        body = await read_body(head, receive, self._most_bytes)
        return seller, read_object(head, body), body


def read_ping(data: Mapping[str, Any]) -> PingRequest:
    """A ping's envelope. Raises `SellerError` 422 naming every key that is wrong."""
    reading = _Reading(data, ("campaign", "lead", "tmax", "floor", "sub_id", "test"))
    request = PingRequest(
        campaign=reading.text("campaign", required=True) or "",
        lead=reading.object("lead"),
        tmax_ms=reading.whole("tmax", LEAST_TMAX_MS, MOST_TMAX_MS, "milliseconds"),
        floor_micros=reading.money("floor"),
        sub_id=reading.text("sub_id"),
        test=reading.flag("test"),
    )
    reading.done()
    return request


def read_post(data: Mapping[str, Any]) -> PostRequest:
    """A post's envelope. Raises `SellerError` 422 naming every key that is wrong."""
    reading = _Reading(data, ("ping_id", "lead"))
    ping_id = reading.text("ping_id", required=True)
    lead = reading.object("lead")
    reading.done()
    return PostRequest(ping_id or "", lead, body_hash(data))


def body_hash(data: Mapping[str, Any]) -> bytes:
    """The same for the same request, however its JSON is spaced and ordered."""
    return hashlib.blake2b(msgspec.json.encode(data, order="sorted"), digest_size=16).digest()


class _Reading:
    """One pass over an envelope that gathers every mistake."""

    def __init__(self, data: Mapping[str, Any], known: tuple[str, ...]) -> None:
        self._data = data
        self._mistakes: list[FieldMistake] = []
        for name in data:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
                self._wrong(name[:64], "unknown key" + hint)

    def text(self, name: str, *, required: bool = False) -> str | None:
        value = self._data.get(name)
        if value is None:
            if required:
                self._wrong(name, "is missing")
        elif not isinstance(value, str) or not value or len(value) > MOST_TEXT or not value.isprintable():
            self._wrong(name, f"expected text of 1 to {MOST_TEXT} characters")
        else:
            return value
        return None

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
        whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
        if not whole or not least <= value <= most:
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
        if self._mistakes:
            raise SellerError(422, "bad_fields", "Some keys are wrong.", mistakes=self._mistakes)

    def _wrong(self, field: str, error: str) -> None:
        self._mistakes.append(FieldMistake(field, error))


def _ping_headers(pinged: Pinged) -> list[tuple[bytes, bytes]]:
    timing = b"own;dur=%.3f, buyers;dur=%.3f" % (pinged.own_us / 1000, pinged.buyers_us / 1000)
    headers = [JSON_TYPE, (b"server-timing", timing)]
    if pinged.rate is not None:
        headers += [(name.encode(), value.encode()) for name, value in rate_headers(pinged.rate)]
    return headers
