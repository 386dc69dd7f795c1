"""The quiet doors: a seller's own leads and pings, and the health of the house."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auction.api.wire import encode_json, headers_of, key_of, problem
from auction.errors import ExchangeError, HouseError, SellerError, internal_error
from auction.exchange import Exchange
from auction.market.market import TradedSeller
from auction.postbacks.endpoints import urls_of

MOST_ID = 128


class StatusDoor:
    """`GET /leads/{id}`, `/pings/{id}`, `/healthz`, `/readyz`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        return [
            Route("/leads/{lead_id}", self.lead, methods=["GET"]),
            Route("/pings/{ping_id}", self.ping, methods=["GET"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
        ]

    async def lead(self, request: Request) -> Response:
        """A lead of this seller with its history."""
        seller = self._seller_of(request)
        lead_id = _id_in(request, "lead")
        return _json(await self._exchange.status.lead(seller.id, lead_id, urls_of(seller.seller)))

    async def ping(self, request: Request) -> Response:
        """A ping of this seller: what was offered, and what became of it."""
        seller = self._seller_of(request)
        return _json(await self._exchange.status.ping(seller.id, _id_in(request, "ping")))

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
        return await self.problem(
            request, SellerError(404, "no_such_path", "There is nothing at this path; see /docs.")
        )

    async def wrong_method(self, request: Request, error: Exception) -> Response:
        """The path is there, for another method."""
        told = getattr(error, "headers", None) or {}
        allowed = sorted(one.strip() for one in told.get("Allow", "GET, HEAD").split(","))
        usual = " or ".join(one for one in allowed if one != "HEAD")
        allow = ("allow", ", ".join(allowed))
        wrong = SellerError(405, "wrong_method", f"Use {usual}.", headers=[allow])
        return await self.problem(request, wrong)

    async def broken(self, request: Request, error: Exception) -> Response:
        """A bug of ours; the traceback goes to the log, not to the wire."""
        return await self.problem(request, internal_error())

    def _seller_of(self, request: Request) -> TradedSeller:
        return self._exchange.seller_of(key_of(headers_of(request.scope)))


def _id_in(request: Request, kind: str) -> str:
    """The id in the path. One that no id of ours looks like is not there: no store is asked (or breaks) for it."""
    written: str = request.path_params[f"{kind}_id"]
    if len(written) > MOST_ID or not written.isascii() or not written.isprintable():
        raise SellerError(404, f"unknown_{kind}", f"There is no such {kind}.")
    return written


def _json(answer: object) -> Response:
    return Response(encode_json(answer), media_type="application/json")
