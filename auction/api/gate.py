"""The gate: whoever comes in by a door of the hot path begins, waits for its turn, or is refused, by `admission`.

A refusal is made once for each door and written as it is: no body is read, no task is made, no store is asked. Who has
to wait is looked for by the key in its head, for turns go round the callers. Doors that are in no lane are always open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.types import Scope

from auction import log
from auction.api.admission import Admission, Lane
from auction.api.lines import Caller
from auction.tally import Family, Labels, counter, gauge

if TYPE_CHECKING:
    from auction.api.request import Request

ARRIVED_S = "auction.arrived_s"
"""In the scope: `perf_counter()` when the request came to the gate."""
REFUSED = "auction.refused"
"""In the scope: the application is to refuse it."""
HELD_S = 0.001
"""When to look again, while none may begin because of what is open at the counters."""


def arrived(scope: Mapping[str, Any]) -> float:
    """When a request came, by `perf_counter()`: what it waited at the gate is part of its time."""
    at: float | None = scope.get(ARRIVED_S)
    return perf_counter() if at is None else at


class Refusal(msgspec.Struct, frozen=True):
    """What is said at one door: status and headers as they go on the wire, without the blank line; the body."""

    status: int
    head: bytes
    body: bytes


class Gate:
    """One per worker, on the loop that serves. `lanes` are those of the doors, by path.

    `caller` tells whose a request is, by its scope. `refusal` gives what a door says, `refused` is told of each path
    and status; `calls` are open at the counters.
    """

    def __init__(
        self,
        favoured: Lane[Request],
        others: Lane[Request],
        lanes: Mapping[str, Lane[Request]],
        caller: Callable[[Scope], Caller],
        refusal: Callable[[str], Refusal],
        refused: Callable[[str, int], None],
        calls: Callable[[], int],
    ) -> None:
        self.admission = Admission([favoured, others])
        self._lanes = lanes
        self._caller = caller
        self._refusal = refusal
        self._told = refused
        self._calls = calls
        self._refusals: dict[str, Refusal] = {}
        self._due: asyncio.Handle | None = None

    def lets_in(self, request: Request) -> bool:
        """Whether it begins now; if not, it will be told to begin, or be refused, in a later turn."""
        scope = request.scope
        lane = self._lanes.get(scope["path"])
        if lane is None or scope["method"] != "POST":
            return True
        scope[ARRIVED_S] = now_s = perf_counter()
        admission = self.admission
        begins = admission.begins()
        if not begins:
            admission.wait(lane, self._caller(scope), request, now_s)
        if self._due is None and not admission.free:
            self._due = asyncio.get_running_loop().call_soon(self._turn)
        return begins

    def families(self) -> list[Family]:
        """What was counted, for `/metrics`."""
        admission = self.admission
        overloaded = admission.shedding(perf_counter())
        refused: dict[Labels, float] = {
            (lane.name, why): float(times) for lane in admission.lanes for why, times in lane.refused.items()
        }
        return [
            gauge("auction_overloaded", "Workers to whom more comes than they can do", overloaded),
            counter(
                "auction_overload_refused",
                "Pings and whole leads refused at the gate: more came than could be done, or too many waited",
                ("lane", "why"),
                refused,
            ),
            counter(
                "auction_gate_waited",
                "Pings and whole leads that waited for their turn, and began",
                ("lane",),
                {(lane.name,): float(lane.waited) for lane in admission.lanes},
            ),
            gauge(
                "auction_gate_waiting",
                "Pings and whole leads that wait for their turn",
                sum(len(lane.lines) for lane in admission.lanes),
            ),
            gauge(
                "auction_gate_callers",
                "Callers, by lane, who wait for their turn; those without a known key are one",
                sum(lane.lines.callers for lane in admission.lanes),
            ),
        ]

    def _turn(self) -> None:
        self._due = None
        turn = self.admission.turn(perf_counter(), self._calls())
        for request in turn.begin:
            self._settle(request, begins=True)
        for request in turn.refuse:
            self._settle(request, begins=False)
        if self._due is None and not self.admission.free:
            loop = asyncio.get_running_loop()
            at_once = turn.begin or self.admission.restless
            self._due = loop.call_soon(self._turn) if at_once else loop.call_later(HELD_S, self._turn)

    def _settle(self, request: Request, *, begins: bool) -> None:
        """A bug that one request meets is its own: the others of the turn have theirs to come."""
        try:
            if begins:
                request.begin()
            else:
                self._refuse(request)
        except Exception:
            log.bug("gate_broke")
            request.abandon()

    def _refuse(self, request: Request) -> None:
        scope = request.scope
        path = scope["path"]
        if b"origin" in dict(scope["headers"]):
            scope[REFUSED] = True  # a script in a browser: it may read only what `origins` lets it
            request.begin()
            return
        refusal = self._refusals.get(path)
        if refusal is None:
            refusal = self._refusals[path] = self._refusal(path)
        self._told(path, refusal.status)
        request.refuse(refusal.head, refusal.body)
