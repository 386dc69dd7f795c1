"""The doors that describe the others: `GET /openapi.json` and `GET /docs`.

A document is made when it is first asked for, and kept while its market lasts (the one for everybody while the house is
called the same). That takes a while, so one is made at a time, and whoever asks for it meanwhile gets it too: strangers
may ask as often as they like.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auction.api.document.openapi import document
from auction.api.document.page import page
from auction.api.wire import encode_json, headers_of, key_of
from auction.exchange import Exchange
from auction.market.market import Market
from auction.market.model import Campaign, House, Seller

MOST_KEPT = 64
"""Documents in memory: one for everybody, and one for each seller that asked with its key."""


class DescribingDoor:
    """The OpenAPI document, as JSON and as a page; with a seller's key, of that seller's campaigns."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._kept: dict[tuple[str, str | None], bytes] = {}
        self._kept_of = -1
        self._kept_house: House | None = None
        self._making = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        return [
            Route("/openapi.json", self.openapi, methods=["GET"]),
            Route("/docs", self.page, methods=["GET"]),
        ]

    async def openapi(self, request: Request) -> Response:
        """The document. Raises `SellerError` 401 for a key that is not known."""
        return Response(await self._told("json", self._seller_in(request)), media_type="application/json")

    async def page(self, request: Request) -> Response:
        """The same to read."""
        told = await self._told("page", self._seller_in(request))
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(told, media_type="text/html", headers=headers)

    def _seller_in(self, request: Request) -> str | None:
        key = key_of(headers_of(request.scope))
        market = self._exchange.floor.market
        if key is None or market.admin_of_key(key) or market.buyer_of_key(key):
            return None
        return self._exchange.seller_of(key).id

    async def _told(self, form: str, seller_id: str | None) -> bytes:
        """Made in a thread: that takes a while, for so many doors."""
        told = self._kept_for(self._exchange.floor.market).get((form, seller_id))
        if told is not None:
            return told
        async with self._making:
            market = self._exchange.floor.market
            told = self._kept_for(market).get((form, seller_id))
            if told is not None:  # somebody else asked for it
                return told
            seller = market.sellers.get(seller_id) if seller_id is not None else None
            open_to = seller.campaigns if seller is not None else ()
            campaigns = [one for one in market.catalogue.campaigns if one.id in open_to]
            told = await asyncio.to_thread(
                _made, form, market.house, campaigns, seller.seller if seller is not None else None
            )
            if self._kept_of == market.version:
                self._kept[form, seller_id] = told
        return told

    def _kept_for(self, market: Market) -> dict[tuple[str, str | None], bytes]:
        """What is kept for this market."""
        if self._kept_of != market.version or len(self._kept) >= MOST_KEPT:
            house, self._kept_house = self._kept_house, market.house
            self._kept = {
                of: told for of, told in self._kept.items() if of[1] is None and house == market.house
            }
            self._kept_of = market.version
        return self._kept


def _made(form: str, house: House, campaigns: Sequence[Campaign], seller: Seller | None) -> bytes:
    described = document(house, campaigns, seller)
    return encode_json(described) if form == "json" else page(described).encode()
