"""All doors of operators."""

from __future__ import annotations

from starlette.routing import Route

from auction.api.admin.audit import AuditDoor
from auction.api.admin.calls import Calls
from auction.api.admin.entries import EntriesDoor
from auction.api.admin.keys import KeysDoor
from auction.api.admin.leads import LeadsDoor
from auction.api.admin.suppression import SuppressionDoor
from auction.api.bodies import Bodies
from auction.exchange import Exchange


class AdminDoor:
    """`/admin/…`. Reads calls into what the rooms take, and their answers into responses."""

    def __init__(self, exchange: Exchange, bodies: Bodies) -> None:
        calls = Calls(exchange, bodies)
        self._doors = (
            AuditDoor(calls),
            LeadsDoor(calls),
            KeysDoor(calls),
            SuppressionDoor(calls),
            EntriesDoor(calls),
        )

    def routes(self) -> list[Route]:
        """Where they are to be found."""
        return [route for door in self._doors for route in door.routes()]
