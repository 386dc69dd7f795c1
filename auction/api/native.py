"""The native door: `/ping`, `/post` and `/direct`, wire in and wire out."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any

from starlette.types import Receive, Scope, Send

from auction.api.bodies import Bodies
from auction.api.envelope import LEAST_TMAX_MS, MOST_TMAX_MS, read_ping, read_post
from auction.api.gate import arrived
from auction.api.idempotency import KeyedDoor, hash_of, of_the_key, read_key, reply_of_post
from auction.api.replies import ping_headers
from auction.api.wire import JSON_TYPE, encode_json, headers_of, key_of, read_object, respond
from auction.errors import SellerError
from auction.exchange import Exchange
from auction.idempotency import Header, KeyedRequest, Reply
from auction.market.market import TradedSeller
from auction.ping.deadlines import granted_tmax_ms
from auction.ping.rate import rate_headers
from auction.ping.service import LEASE_SLACK_MS
from auction.post.claiming import LEASE_MS as POST_LEASE_MS


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
