"""Answers in the shape of another API's document, errors too; and leads that come whole, by such a door."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from auction.api.idempotency import hash_of, is_answer, of_the_key, read_key
from auction.api.wire import JSON_TYPE, Headers, encode_json
from auction.errors import ExchangeError, FieldMistake, SellerError
from auction.exchange import Exchange
from auction.idempotency import Header, KeyedRequest, Reply
from auction.market.market import CampaignMarket, TradedSeller
from auction.ping.offer import PingRequest
from auction.post.answer import PostAnswer, decode_post_answer
from auction.post.claiming import LEASE_MS

Shape = Callable[[ExchangeError], Reply]
"""Makes an answer of an error."""


def reply_of(status: int, body: object, headers: tuple[Header, ...] = ()) -> Reply:
    """An answer as JSON."""
    return Reply(status, encode_json(body), (JSON_TYPE, *headers))


def sentences(mistakes: Iterable[FieldMistake]) -> dict[str, str]:
    """Each bad field with the first thing that is wrong with it."""
    told: dict[str, str] = {}
    for mistake in mistakes:
        told.setdefault(mistake.field, mistake.error)
    return told


class WholeLead:
    """One lead with all of its fields, as a door hands it in.

    `data` is all that the request said, and tells it from another one with the same `Idempotency-Key`.
    """

    __slots__ = ("_arrived_s", "_campaign", "_data", "_door", "_exchange", "_key", "_request", "_seller")

    def __init__(
        self,
        exchange: Exchange,
        door: str,
        seller: TradedSeller,
        campaign: CampaignMarket,
        request: PingRequest,
        data: dict[str, Any],
        headers: Headers,
        arrived_s: float,
    ) -> None:
        """Raises `SellerError` 422 for a key that is none."""
        raw = headers.get(b"idempotency-key")
        self._exchange = exchange
        self._door = door
        self._seller = seller
        self._campaign = campaign
        self._request = request
        self._data = data
        self._key = None if raw is None else read_key(raw)
        self._arrived_s = arrived_s

    async def answer(self, told: Callable[[PostAnswer], Reply], shape: Shape) -> Reply:
        """Sold, rejected or kept, as `told` puts it; with a key, once. An error that the same request would get again
        is in its `shape`; others are raised."""
        work = partial(self._shaped, told, shape)
        if self._key is None:
            return await work()
        wait_ms = self._campaign.rules.tmax_ms + self._exchange.settings.post_wait_ms
        keyed = KeyedRequest(
            caller=f"seller:{self._seller.id}",
            key=self._key,
            door=self._door,
            body_hash=hash_of(self._data),
            give_up_s=self._arrived_s + wait_ms / 1000,
            lease_ms=self._campaign.rules.tmax_ms + LEASE_MS,
            by_ledger=True,
        )
        return await self._exchange.idempotency.once(keyed, work)

    async def _shaped(self, told: Callable[[PostAnswer], Reply], shape: Shape) -> Reply:
        try:
            return told(await self._sold())
        except SellerError as error:
            if not is_answer(error):
                raise
            return shape(error)

    async def _sold(self) -> PostAnswer:
        directs, body_hash = self._exchange.directs, hash_of(self._data)
        try:
            _, body = await directs.direct(
                self._seller, self._request, body_hash, self._arrived_s, self._key, keeps=True
            )
        except SellerError as error:
            raise of_the_key(error) from None
        assert body is not None, "a lead that is kept has an answer"
        return decode_post_answer(body)
