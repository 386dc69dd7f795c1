"""`/admin/{section}`, `/admin/{section}/{id}` and `/admin/exchange`: the entries of the catalogue, as in its files.

What is changed here is held to the rules of `auction apply` and goes live in the same way. Nobody overwrites what it
has not seen: a change names, in `If-Match`, the state of the entry (its `ETag`) or the version of the catalogue
(`"v17"`) that it was made from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from auction.api.admin.calls import Calls, bad_fields, out_of_scope, query_of, reply, who
from auction.api.admin.fields import comparable, fields_of
from auction.api.admin.precondition import Precondition, changed_meanwhile
from auction.api.changes import response
from auction.api.listing import Listing, Page, read_listing
from auction.api.wire import encode_json, headers_of
from auction.catalogue.documents import SECTIONS, Kind, from_document, to_document
from auction.catalogue.json_source import read_document
from auction.catalogue.merging import merged
from auction.catalogue.one_entry import HOUSE, EntryMistakes
from auction.catalogue.secrets import hidden, with_kept
from auction.changes.applying import EntryChange, change_entry
from auction.errors import FieldMistake, SellerError
from auction.idempotency import Header, Owned, Reply
from auction.ledger.catalogue_store import current_version, document_of, documents_of
from auction.ledger.faults import CatalogueConflict
from auction.market.entry import Entry
from auction.market.model import Admin, House

_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class EntriesDoor:
    """Lists, shows, creates, changes and deletes entries."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def routes(self) -> list[Route]:
        """Where it is to be found."""
        found = [Route("/admin/exchange", self.one, methods=["GET", "PUT", "PATCH"])]
        for section in SECTIONS:
            found.append(Route(f"/admin/{section}", self.section, methods=["GET", "POST"]))
            methods = ["GET", "PUT", "PATCH", "DELETE"]
            found.append(Route(f"/admin/{section}/{{id}}", self.one, methods=methods))
        return found

    async def section(self, request: Request) -> Response:
        """A list, or a new entry."""
        if request.method == "POST":
            return await self._create(request)
        return await self._list(request)

    async def one(self, request: Request) -> Response:
        """One entry: shown, replaced, patched, deleted."""
        if request.method in ("GET", "HEAD"):
            return await self._show(request)
        if request.method == "DELETE":
            return await self._delete(request)
        return await self._change(request)

    async def _list(self, request: Request) -> Response:
        self._calls.admin(request, "catalogue:read")
        kind = _kind_of(request)
        listing = read_listing(query_of(request), fields_of(kind))

        def read(conn: Connection) -> tuple[int, bytes]:
            version = current_version(conn)
            return version, encode_json(_page(kind, documents_of(conn, kind), listing))

        version, body = await self._calls.exchange.reader.read(read)
        return Response(body, headers=_version_headers(version), media_type="application/json")

    async def _show(self, request: Request) -> Response:
        self._calls.admin(request, "catalogue:read")
        kind, id_ = _name_of(request)

        def read(conn: Connection) -> tuple[int, Entry | None]:
            return current_version(conn), _stored(conn, kind, id_)

        version, entry = await self._calls.exchange.reader.read(read)
        if entry is None:
            raise unknown_entry(kind, id_)
        return response(self._shown(to_document(entry), version))

    async def _create(self, request: Request) -> Response:
        admin = self._calls.admin(request, "catalogue:write")
        kind = _kind_of(request)
        data = await self._calls.body(request)
        id_ = data.get("id")
        if not isinstance(id_, str) or not _ID.fullmatch(id_):
            mistakes = [
                FieldMistake("id", "expected a name of small letters, digits, `-` and `_`, at most 64")
            ]
            if id_ is None:
                mistakes = [FieldMistake("id", "this key is required and missing")]
            read = self._read(kind, data, {})
            raise bad_fields([*mistakes, *(one for one in _mistakes(read) if one.field != "id")])
        name = id_

        def make(before: Entry | None) -> Entry:
            if before is not None:
                raise SellerError(
                    409, "already_there", f"The {_word(kind)} `{name}` is there already; change it."
                )
            return self._made(admin, before, self._read(kind, data, {}))

        return await self._calls.once(
            request, admin, data, partial(self._store, admin, (kind, name), make, None, 201)
        )

    async def _change(self, request: Request) -> Response:
        admin = self._calls.admin(request, "catalogue:write")
        kind, id_ = _name_of(request)
        data = await self._calls.body(request)
        seen = Precondition(headers_of(request.scope))
        seen.demand()
        is_patch = request.method == "PATCH"
        if data.get("id", id_) != id_ and kind != HOUSE:
            raise bad_fields([FieldMistake("id", f"expected `{id_}`: an entry keeps its id")])

        def make(before: Entry | None) -> Entry:
            if before is None and (is_patch or not seen.is_new):
                raise unknown_entry(kind, id_)
            was = {} if before is None else to_document(before)
            if before is not None:
                if seen.is_new:
                    raise changed_meanwhile("There is one already.")
                seen.hold(self._calls.administration.tag_of(was))
            named = data if kind == HOUSE else {**data, "id": id_}
            sent = merged(was, named) if is_patch else named
            return self._made(admin, before, self._read(kind, sent, was))

        status = 201 if seen.is_new else 200
        work = partial(self._store, admin, (kind, id_), make, seen.version, status)
        return await self._calls.once(request, admin, data, work)

    async def _delete(self, request: Request) -> Response:
        admin = self._calls.admin(request, "catalogue:write")
        kind, id_ = _name_of(request)
        seen = Precondition(headers_of(request.scope))
        seen.demand()

        def make(before: Entry | None) -> None:
            if before is None:
                raise unknown_entry(kind, id_)
            seen.hold(self._calls.administration.tag_of(to_document(before)))
            within_scopes(admin, before)

        async def work(owned: Owned | None) -> Reply:
            try:
                return await self._store(admin, (kind, id_), make, seen.version, 200, owned)
            except SellerError as error:
                raise _still_named(error, kind, id_) if error.code == "bad_fields" else error from None

        return await self._calls.once(request, admin, {}, work)

    def _read(
        self, kind: Kind, sent: Mapping[str, Any], was: Mapping[str, Any]
    ) -> Entry | list[FieldMistake]:
        """The entry that was sent, with the secrets of what `was`; or all that is wrong with it."""
        mistakes: list[FieldMistake] = []
        whole = with_kept(sent, was, mistakes)
        campaigns = self._calls.exchange.floor.market.catalogue.campaigns
        entry = read_document(kind, whole, campaigns)
        if isinstance(entry, list):
            return [*mistakes, *entry]
        return mistakes or entry

    def _made(self, admin: Admin, before: Entry | None, read: Entry | list[FieldMistake]) -> Entry:
        if isinstance(read, list):
            raise bad_fields(read)
        for one in (before, read):
            within_scopes(admin, one)
        return read

    async def _store(
        self,
        admin: Admin,
        name: tuple[Kind, str],
        make: Any,
        version: int | None,
        status: int,
        owned: Owned | None,
    ) -> Reply:
        """Makes the change; the answer is kept with it, where it is owed to a key."""
        kind, id_ = name

        def answer(change: EntryChange) -> Reply:
            if change.after is None:
                return reply({"version": change.version}, 200, *_versions(change.version))
            more = ((b"location", f"/admin/{_section_of(kind)}/{id_}".encode()),) if status == 201 else ()
            return self._shown(to_document(change.after), change.version, status, *more)

        def beside(conn: Connection, change: EntryChange) -> None:
            if owned is not None:
                owned.keep(conn, answer(change))

        def step(engine: Engine) -> EntryChange:
            return change_entry(
                engine,
                kind,
                id_,
                make,
                self._calls.exchange.clock.now_ms(),
                f"{who(admin)} changed {kind} {id_}",
                who=who(admin),
                expected_version=version,
                beside=beside,
            )

        try:
            return answer(await self._calls.administration.run("change", step))
        except EntryMistakes as error:
            raise _refused(error, name) from None
        except CatalogueConflict as error:
            if version is not None:
                raise changed_meanwhile(
                    f"The catalogue is at version {error.found}; read it again."
                ) from None
            raise SellerError(
                409,
                "catalogue_conflict",
                "Others change the catalogue; try again.",
                headers=[("retry-after", "1")],
            ) from None

    def _shown(self, document: dict[str, Any], version: int, status: int = 200, *more: Header) -> Reply:
        tag = self._calls.administration.tag_of(document)
        return reply(
            hidden(document), status, (b"etag", f'"{tag}"'.encode()), *_versions(version, tag=False), *more
        )


def _page(kind: Kind, documents: list[dict[str, Any]], listing: Listing) -> Page:
    """The entries that are asked for, without their secrets: what is not shown cannot be asked for."""
    asked = frozenset(condition.field for condition in listing.conditions)
    rows = ({**comparable(kind, shown, asked), "": shown} for shown in map(hidden, documents))
    page = listing.page(rows)
    return Page(page.total, page.limit, page.skip, [row[""] for row in page.data])


def _stored(conn: Connection, kind: Kind, id_: str) -> Entry | None:
    document = document_of(conn, kind, id_)
    if document is not None:
        return from_document(kind, document)
    return House() if kind == HOUSE else None


def within_scopes(admin: Admin, entry: Entry | None) -> None:
    """Who changes operators cannot make one that may do more than itself. Raises `SellerError` 403."""
    if isinstance(entry, Admin):
        for scope in entry.scopes:
            if scope not in admin.scopes:
                raise out_of_scope(scope, admin)


def _refused(error: EntryMistakes, name: tuple[Kind, str]) -> SellerError:
    """Rules that a change would break: by the paths of the entry itself, and of the others that it would break."""
    kind, id_ = name
    own = f"{HOUSE}." if kind == HOUSE else f"{_section_of(kind)}[{id_}]."
    mistakes = [FieldMistake(one.field.removeprefix(own), one.error) for one in error.mistakes]
    return bad_fields(mistakes)


def _still_named(error: SellerError, kind: Kind, id_: str) -> SellerError:
    """What cannot be deleted, with all who name it. (What they may have meant instead is no help here.)"""
    mistakes = [FieldMistake(one.field, one.error.partition("; did you mean")[0]) for one in error.mistakes]
    return SellerError(
        409,
        "still_named",
        f"Others name the {_word(kind)} `{id_}`: change them first.",
        mistakes=mistakes,
    )


def _mistakes(read: Entry | list[FieldMistake]) -> list[FieldMistake]:
    return read if isinstance(read, list) else []


def unknown_entry(kind: Kind, id_: str) -> SellerError:
    """404."""
    return SellerError(404, "unknown_entry", f"There is no {_word(kind)} `{id_[:64]}`.")


def _kind_of(request: Request) -> Kind:
    return SECTIONS[request.scope["path"].split("/")[2]]


def _name_of(request: Request) -> tuple[Kind, str]:
    """Kind and id of the entry in the path. Raises `SellerError` 404, also for what is no id."""
    if "id" not in request.path_params:
        return "exchange", HOUSE
    kind = _kind_of(request)
    return kind, id_in(request, kind)


def id_in(request: Request, kind: Kind) -> str:
    """The id in a path. Raises `SellerError` 404 for what is none."""
    id_: str = request.path_params["id"]
    if not _ID.fullmatch(id_):
        raise SellerError(404, "unknown_entry", f"There is no such {_word(kind)}.")
    return id_


def _section_of(kind: Kind) -> str:
    return next(section for section, one in SECTIONS.items() if one == kind)


def _word(kind: Kind) -> str:
    return kind.replace("_", " ")


def _versions(version: int, *, tag: bool = True) -> tuple[Header, ...]:
    told = (b"catalogue-version", b"%d" % version)
    return (told, (b"etag", b'"v%d"' % version)) if tag else (told,)


def _version_headers(version: int) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in _versions(version)}
