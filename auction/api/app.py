"""The front of the house: one ASGI app for all doors.

The doors of the hot path are found by one dictionary look-up; everything else goes through Starlette's router.
An expected error becomes its problem here, and nowhere else; an unexpected one is logged with its traceback and
answered without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from auction import log
from auction.api.describing import DescribingDoor
from auction.api.metrics import MetricsDoor
from auction.api.native import NativeDoor
from auction.api.status import StatusDoor
from auction.api.wire import respond_problem
from auction.errors import ExchangeError, SellerError, internal_error
from auction.exchange import Exchange
from auction.tally import Family

Door = Callable[[Scope, Receive, Send], Awaitable[None]]
MOST_LOGGED_PATH = 128


class App:
    """The exchange as an ASGI application. Counts `bugs`: requests that failed as none should."""

    def __init__(self, exchange: Exchange) -> None:
        self.native, self.status, self.metrics = (
            NativeDoor(exchange),
            StatusDoor(exchange),
            MetricsDoor(exchange, lambda: self.of_front()),
        )
        self.of_front: Callable[[], list[Family]] = list
        """What is in front of us has counted this, for `/metrics`."""
        self.bugs = 0
        self._hot: dict[str, Door] = {
            "/ping": self.native.ping,
            "/post": self.native.post,
            "/direct": self.native.direct,
        }
        self._rest = _rest(self.status, self.metrics, DescribingDoor(exchange))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        door = self._hot.get(scope["path"])
        try:
            if door is None:
                await self._rest(scope, receive, send)
            elif scope["method"] == "POST":
                await door(scope, receive, send)
            else:
                raise SellerError(405, "wrong_method", "Use POST.", headers=[("allow", "POST")])
        except ExchangeError as error:
            await respond_problem(send, error)
        except Exception:
            self.bugs += 1
            log.bug("request_failed", path=scope["path"][:MOST_LOGGED_PATH])
            if door is not None:  # Starlette has answered by `status.broken` before it let the error through
                await respond_problem(send, internal_error())


def _rest(status: StatusDoor, metrics: MetricsDoor, describing: DescribingDoor) -> Starlette:
    rest = Starlette(
        routes=[
            Route("/leads/{lead_id}", status.lead, methods=["GET"]),
            Route("/pings/{ping_id}", status.ping, methods=["GET"]),
            Route("/healthz", status.healthz, methods=["GET"]),
            Route("/readyz", status.readyz, methods=["GET"]),
            Route("/metrics", metrics.metrics, methods=["GET"]),
            Route("/openapi.json", describing.openapi, methods=["GET"]),
            Route("/docs", describing.page, methods=["GET"]),
        ],
        exception_handlers={
            404: status.not_found,
            405: status.wrong_method,
            ExchangeError: status.problem,
            Exception: status.broken,
        },
    )
    rest.router.redirect_slashes = False
    return rest
