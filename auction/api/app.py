"""The front of the house: one ASGI app for all doors.

The doors of the hot path are found by one dictionary look-up; everything else goes through Starlette's router.
An expected error becomes its problem here, and nowhere else; an unexpected one is logged with its traceback and
answered without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from auction import log
from auction.api.metrics import MetricsDoor
from auction.api.native import NativeDoor
from auction.api.status import StatusDoor
from auction.api.wire import respond_problem
from auction.errors import ExchangeError, HouseError, SellerError
from auction.exchange import Exchange

Door = Callable[[Scope, Receive, Send], Awaitable[None]]


class App:
    """The exchange as an ASGI application."""

    def __init__(self, exchange: Exchange) -> None:
        native, status = NativeDoor(exchange), StatusDoor(exchange)
        self.metrics = MetricsDoor(exchange)
        self._hot: dict[str, Door] = {"/ping": native.ping, "/post": native.post, "/direct": native.direct}
        self._rest = Starlette(
            routes=[
                Route("/leads/{lead_id}", status.lead, methods=["GET"]),
                Route("/pings/{ping_id}", status.ping, methods=["GET"]),
                Route("/healthz", status.healthz, methods=["GET"]),
                Route("/readyz", status.readyz, methods=["GET"]),
                Route("/metrics", self.metrics.metrics, methods=["GET"]),
            ],
            exception_handlers={
                404: status.not_found,
                405: status.wrong_method,
                ExchangeError: status.problem,
            },
        )
        self.bugs = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        door = self._hot.get(scope["path"], self._rest)
        started = False

        async def send_once(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if door is not self._rest and scope["method"] != "POST":
                raise SellerError(405, "wrong_method", "Use POST.", headers=[("allow", "POST")])
            await door(scope, receive, send_once)
        except ExchangeError as error:
            await respond_problem(send, error)
        except Exception:
            self.bugs += 1
            log.bug("request_failed", path=scope["path"])
            if not started:
                await respond_problem(send, _broken())


def _broken() -> HouseError:
    error = HouseError("internal_error", "Something of ours broke; it was logged.")
    error.status = 500
    return error
