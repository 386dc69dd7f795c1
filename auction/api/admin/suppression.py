"""`/admin/suppression_lists/{id}/entries`: who stands in a list. Uploaded as it comes, in millions; never shown."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auction.api.admin.calls import Calls, bad_fields, query_of, reply, who
from auction.api.admin.entries import id_in, unknown_entry
from auction.api.changes import response
from auction.api.dialect import FORM
from auction.api.wire import headers_of
from auction.changes.uploading import MOST_BYTES, Load, UploadFault
from auction.errors import FieldMistake, HouseError, SellerError
from auction.ledger.catalogue_store import document_of
from auction.ledger.suppression_store import ListState, state_of
from auction.ping.offer import iso_utc
from auction.suppression.loading import Way
from auction.suppression.prints import Form

WAYS: Final[dict[str, Way]] = {"PUT": "replace", "POST": "add", "DELETE": "remove"}
MOST_COLUMN: Final = 128
_TEXT: Final = (b"text/plain", b"application/octet-stream", FORM, b"")
"""What says that it is lines. (curl says "form" of everything where nobody told it otherwise.)"""
_STATUS: Final = {"unknown_list": 404, "too_many_entries": 413, "other_form": 409, "list_changed": 409}


class ListEntries(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many entries a list has, and as which hashes it is kept. After an upload also what became of its lines:
    those that are no value of the list's fields were passed over."""

    list: str
    entries: int
    form: str | None
    changed_at: str | None
    lines: int | None = None
    passed_over: int | None = None
    passed_over_lines: tuple[int, ...] = ()


class SuppressionDoor:
    """Takes uploads, and tells how long a list is."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        path = "/admin/suppression_lists/{id}/entries"
        return [Route(path, self.entries, methods=["GET", "PUT", "POST", "DELETE"])]

    async def entries(self, request: Request) -> Response:
        """How many there are; or more, or fewer, or others."""
        if request.method in ("GET", "HEAD"):
            return await self._show(request)
        return await self._load(request)

    async def _show(self, request: Request) -> Response:
        self._calls.admin(request, "catalogue:read")
        list_id, state = await self._state(request)
        return response(reply(_told(list_id, state)))

    async def _load(self, request: Request) -> Response:
        admin = self._calls.admin(request, "catalogue:write")
        list_id, _ = await self._state(request)
        hashed, column, whole = _wanted(query_of(request))
        headers = headers_of(request.scope)
        kind = headers.get(b"content-type", b"").split(b";", 1)[0].strip().lower()
        if kind != b"text/csv" and kind not in _TEXT:
            raise SellerError(415, "not_text", "Send text/plain with one value a line, or text/csv.")
        if whole and request.method != "DELETE":
            raise bad_fields([FieldMistake("all", "is for DELETE: PUT replaces the whole list as it is")])
        standing = await self._calls.admit(request, admin)
        declared = headers.get(b"content-length")
        load = Load(
            list_id=list_id,
            way="replace" if whole else WAYS[request.method],
            hashed=hashed,
            nothing_too=whole,
            who=who(admin),
            at_ms=self._calls.exchange.clock.now_ms(),
        )
        pieces = self._calls.bodies.pieces(declared, request.receive, MOST_BYTES)
        answer = await self._calls.exchange.uploading.take(
            load, pieces, csv=kind == b"text/csv", column=column
        )
        if answer.fault is not None:
            raise _fault(answer.fault)
        loaded = answer.loaded
        assert loaded is not None
        told = ListEntries(
            list=list_id,
            entries=loaded.entries,
            form=loaded.form,
            changed_at=iso_utc(load.at_ms),
            lines=loaded.lines,
            passed_over=loaded.passed_over,
            passed_over_lines=loaded.passed_over_lines,
        )
        return response(replace(reply(told), passing=standing))

    async def _state(self, request: Request) -> tuple[str, ListState | None]:
        """Raises `SellerError` 404."""
        list_id = id_in(request, "suppression_list")

        def read(conn: Connection) -> tuple[bool, ListState | None]:
            return document_of(conn, "suppression_list", list_id) is not None, state_of(conn, list_id)

        known, state = await self._calls.exchange.reader.read(read)
        if not known:
            raise unknown_entry("suppression_list", list_id)
        return list_id, state


def _wanted(pairs: list[tuple[str, str]]) -> tuple[Form | None, str | None, bool]:
    """How the lines are hashed, the column of a CSV, and whether all goes. Raises `SellerError` 400."""
    mistakes: list[FieldMistake] = []
    hashed: Form | None = None
    column: str | None = None
    whole = False
    for name, value in pairs:
        if name == "hashed" and value in ("sha256", "md5"):
            hashed = "sha256" if value == "sha256" else "md5"
        elif name == "hashed":
            mistakes.append(FieldMistake(name, "expected sha256 or md5"))
        elif name == "column" and 0 < len(value) <= MOST_COLUMN and value.isprintable():
            column = value
        elif name == "column":
            mistakes.append(
                FieldMistake(name, "expected the name of a column in the first row, or its number")
            )
        elif name == "all" and value in ("true", "false"):
            whole = value == "true"
        else:
            mistakes.append(FieldMistake(name[:64], "known are all (true, false), column and hashed"))
    if mistakes:
        raise SellerError(400, "bad_query", "Some parameters are wrong.", mistakes=mistakes[:100])
    return hashed, column, whole


def _fault(fault: UploadFault) -> SellerError | HouseError:
    if fault.code in ("ledger_unavailable", "ledger_full", "internal_error"):
        return HouseError("upload_ended", "The list could not be loaded; nothing was changed.")
    headers = [("retry-after", "1")] if fault.code == "list_changed" else []
    return SellerError(_STATUS.get(fault.code, 422), fault.code, fault.detail, headers=headers)


def _told(list_id: str, state: ListState | None) -> ListEntries:
    if state is None:
        return ListEntries(list=list_id, entries=0, form=None, changed_at=None)
    return ListEntries(
        list=list_id, entries=state.entries, form=state.form, changed_at=iso_utc(state.changed_at_ms)
    )
