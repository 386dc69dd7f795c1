"""`/admin/audit`: who changed what of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, get_args
from zoneinfo import ZoneInfo

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auction.api.admin.asking import read_asked, read_word
from auction.api.admin.calls import Calls, query_of, reply
from auction.api.changes import response
from auction.api.listing import OneOf, Reading, read_whole
from auction.catalogue.documents import KINDS
from auction.ledger.audit import Action, AuditEntry, entries
from auction.ping.offer import iso_utc

AUDIT: Final[dict[str, tuple[str, Reading]]] = {
    "who": ("who", read_word),
    "action": ("action", OneOf(get_args(Action))),
    "kind": ("kind", OneOf(KINDS)),
    "id": ("entry", read_word),
    "version": ("version", read_whole),
}


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One change: who made it (`admin:ops`, `buyer:sunrise`, or `cli` for the command line), of what, and the version
    of the catalogue that it made. `changes` are the keys that differ, with their values before and after; never a
    secret."""

    at: str
    who: str
    action: str
    kind: str
    id: str
    version: int | None
    changes: tuple[str, ...]


class AuditList(msgspec.Struct, frozen=True):
    """Changes, the latest first. `total` counts up to 10,000."""

    total: int
    limit: int
    skip: int
    data: Sequence[AuditLine]


class AuditDoor:
    """Shows the audit."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        return [Route("/admin/audit", self.audit, methods=["GET"])]

    async def audit(self, request: Request) -> Response:
        """A list of changes."""
        self._calls.admin(request, "catalogue:read")
        zone = ZoneInfo(self._calls.exchange.floor.market.house.timezone)
        asked = read_asked(query_of(request), AUDIT, zone)
        found = await self._calls.exchange.reader.read(lambda conn: entries(conn, asked))
        lines = [_line(entry) for entry in found.rows]
        return response(reply(AuditList(found.total, asked.limit, asked.skip, lines)))


def _line(entry: AuditEntry) -> AuditLine:
    return AuditLine(
        at=iso_utc(entry.at_ms),
        who=entry.who,
        action=entry.action,
        kind=entry.kind,
        id=entry.entry,
        version=entry.version,
        changes=entry.changes,
    )
