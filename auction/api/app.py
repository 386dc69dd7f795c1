"""The front of the house: one ASGI app for all doors.

The doors of the hot path are found by one dictionary look-up; everything else goes through Starlette's router.
An expected error becomes its problem here, and nowhere else; an unexpected one is logged with its traceback and
answered without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from auction.api import leads, router
from auction.api.admin.door import AdminDoor
from auction.api.admission import LEADS, PINGS, Lane
from auction.api.callers import caller_of
from auction.api.describing import DescribingDoor
from auction.api.distro import DistroDoor
from auction.api.gate import REFUSED, Gate, Refusal
from auction.api.leads import LeadsDoor
from auction.api.metrics import MetricsDoor
from auction.api.native import NativeDoor
from auction.api.postbacks import PostbacksDoor
from auction.api.replies import headers_of_reply, respond_reply
from auction.api.request import Request, head_of
from auction.api.router import RouterDoor
from auction.api.routes import RoutesDoor
from auction.api.shaped import Shape
from auction.api.status import StatusDoor
from auction.api.traffic import Traffic, families
from auction.api.wire import PROBLEM_TYPE, problem, respond_problem
from auction.errors import ExchangeError, HouseError, SellerError, internal_error
from auction.exchange import Exchange
from auction.tally import Family

ROUTER = "/api.php"
Door = Callable[[Scope, Receive, Send], Awaitable[int]]

_PINGS = frozenset({"/ping", "/api/v1/ping"})


def overloaded() -> HouseError:
    """What is said to whom the gate refuses."""
    return HouseError("overloaded", "More comes in than the house can serve; try again shortly.")


class App:
    """The exchange as an ASGI application. `traffic` counts what it answered."""

    def __init__(self, exchange: Exchange) -> None:
        self.traffic = Traffic()
        self.of_front: Callable[[], list[Family]] = list
        """What is in front of us has counted this, for `/metrics`."""
        self.native, self.status = NativeDoor(exchange), StatusDoor(exchange)
        self.distro = DistroDoor(exchange, self.native.bodies)
        self.metrics = MetricsDoor(exchange, self._families)
        self._hot: dict[str, Door] = {
            "/ping": self.native.ping,
            "/post": self.native.post,
            "/direct": self.native.direct,
            ROUTER: RouterDoor(exchange, self.native.bodies).lead,
            "/api/leads": LeadsDoor(exchange, self.native.bodies, self.traffic).lead,
            "/api/v1/ping": self.distro.ping,
            "/api/v1/ingest": self.distro.ingest,
        }
        self._shapes: dict[str, Shape] = {ROUTER: router.shaped, "/api/leads": leads.shaped}

        self.gate = self._gate(exchange)
        quiet = [
            self.status.routes(),
            self.metrics.routes(),
            DescribingDoor(exchange).routes(),
            PostbacksDoor(exchange, self.native.bodies).routes(),
            RoutesDoor(exchange, self.native.bodies).routes(),
            AdminDoor(exchange, self.native.bodies).routes(),
        ]
        self._rest = _rest(self.status, [route for door in quiet for route in door])

    @property
    def bugs(self) -> int:
        """Requests that failed as none should."""
        return self.traffic.bugs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        path, traffic = scope["path"], self.traffic
        door = self._hot.get(path)
        try:
            if REFUSED in scope:
                raise overloaded()
            if door is None:
                if path.startswith("//"):  # as the lead routes' document writes them
                    path = "/" + path.lstrip("/")
                    scope = {**scope, "path": path}
                await self._rest(scope, receive, traffic.watched(path, send))
            elif scope["method"] == "POST":
                traffic.answered(path, await door(scope, receive, send))
            else:
                raise SellerError(405, "wrong_method", "Use POST.", headers=[("allow", "POST")])
        except ExchangeError as error:
            traffic.answered(path, error.status)
            await self._refuse(path, send, error)
        except Exception:
            traffic.broke(path)
            if door is not None:  # Starlette has answered by `status.broken` before it let the error through
                traffic.answered(path, 500)
                await self._refuse(path, send, internal_error())

    async def _refuse(self, path: str, send: Send, error: ExchangeError) -> None:
        """An error, in the shape of its door; and in its log, where it has one."""
        shape = self._shapes.get(path)
        if shape is None:
            await respond_problem(send, error)
            return
        reply = shape(error)
        if path == ROUTER:
            router.note(reply)
        await respond_reply(send, reply)

    def _gate(self, exchange: Exchange) -> Gate:
        """The gate before the doors of the hot path: whole leads ahead of pings, for they are promised or at hand."""
        leads: Lane[Request] = Lane("leads", LEADS)
        pings: Lane[Request] = Lane("pings", PINGS)
        lanes = {path: pings if path in _PINGS else leads for path in self._hot}
        return Gate(
            leads,
            pings,
            lanes,
            lambda scope: caller_of(scope, exchange.floor.market),
            self._refusal,
            self.traffic.answered,
            lambda: exchange.link.waiting,
        )

    def _refusal(self, path: str) -> Refusal:
        """What a door says while the house is overloaded."""
        shape = self._shapes.get(path)
        if shape is None:
            status, body, told = problem(overloaded())
            headers = [PROBLEM_TYPE, *((name.encode(), value.encode()) for name, value in told)]
        else:
            reply = shape(overloaded())
            status, body, headers = reply.status, reply.body, list(headers_of_reply(reply))
        return Refusal(status, head_of(status, headers, body), body)

    def _families(self) -> list[Family]:
        return [*families(self.traffic, self.native.bodies), *self.of_front()]


def _rest(status: StatusDoor, routes: Sequence[Route]) -> Starlette:
    """All doors that are not hot. Who is not let in by any of them is answered by `status`."""
    rest = Starlette(
        routes=routes,
        exception_handlers={
            404: status.not_found,
            405: status.wrong_method,
            ExchangeError: status.problem,
            Exception: status.broken,
        },
    )
    rest.router.redirect_slashes = False
    return rest
