"""The quiet doors: a seller's own leads and pings, and the health of the house."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from auction.api.wire import encode_json, problem, read_head
from auction.errors import ExchangeError, HouseError, SellerError
from auction.exchange import Exchange


class StatusDoor:
    """`GET /leads/{id}`, `/pings/{id}`, `/healthz`, `/readyz`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def lead(self, request: Request) -> Response:
        """A lead of this seller with its history."""
        seller = self._exchange.seller_of(read_head(request.scope).key)
        return _json(await self._exchange.status.lead(seller.id, request.path_params["lead_id"]))

    async def ping(self, request: Request) -> Response:
        """A ping of this seller: what was offered, and what became of it."""
        seller = self._exchange.seller_of(read_head(request.scope).key)
        return _json(await self._exchange.status.ping(seller.id, request.path_params["ping_id"]))

    async def healthz(self, request: Request) -> Response:
        """200 while this process answers at all."""
        return _json({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """200 once pings can be served; 503 with what is away."""
        away = await self._exchange.what_is_away()
        if away:
            raise HouseError("not_ready", f"Away: {', '.join(away)}.")
        return _json({"status": "ready", "market_version": self._exchange.floor.market.version})

    async def problem(self, request: Request, error: Exception) -> Response:
        """An expected error as problem+json."""
        assert isinstance(error, ExchangeError)
        status, body, headers = problem(error)
        return Response(body, status, dict(headers), media_type="application/problem+json")

    async def not_found(self, request: Request, error: Exception) -> Response:
        """No such path."""
        return await self.problem(request, SellerError(404, "no_such_path", "There is nothing at this path."))

    async def wrong_method(self, request: Request, error: Exception) -> Response:
        """The path is there, for another method."""
        wrong = SellerError(405, "wrong_method", "Use GET.", headers=[("allow", "GET")])
        return await self.problem(request, wrong)


def _json(answer: object) -> Response:
    return Response(encode_json(answer), media_type="application/json")
