"""The catalogue between its files and the ledger: what is stored, and making what is stored match.

Files, the admin API and the console are hands on the same thing; this is what they hold it by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from auction.catalogue.changes import Changes, diff, key_changes
from auction.catalogue.documents import KINDS, SECTIONS, Kind, from_document, to_document
from auction.catalogue.one_entry import HOUSE, EntryMistakes, broken_rules, entry_of, with_entry
from auction.catalogue.owned_routes import with_owners_routes
from auction.catalogue.reading import Source, read_catalogue
from auction.errors import OperatorError
from auction.ledger import audit, catalogue_store
from auction.ledger.engine import transaction
from auction.ledger.faults import CatalogueConflict, away, is_away
from auction.market.model import Catalogue, House

TRIES = 3
DOOR = "door"
"""Who it was that changed an entry, where a door does not say."""


Stored = tuple[int, Catalogue, catalogue_store.Keys]
"""A version of the catalogue, what it says, and the hashes of the keys that each caller was given."""


class Applied(msgspec.Struct, frozen=True):
    """What an apply did: the differences, and the version that now holds."""

    changes: Changes
    version: int


def read_files(paths: Sequence[Path]) -> Catalogue:
    """The catalogue that these files make together.

    Raises `OperatorError` naming every file that cannot be read, or every mistake in them; and for files with
    nothing in them: a file that was cut short must not take everything out of the market.
    """
    sources: list[Source] = []
    unreadable: list[str] = []
    for path in paths:
        try:
            sources.append(Source(str(path), path.read_text(encoding="utf-8")))
        except OSError as error:
            unreadable.append(f"{path}: cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            unreadable.append(f"{path}: is not UTF-8 text (byte {error.start})")
    if unreadable:
        raise OperatorError("unreadable_file", "\n".join(unreadable))
    catalogue = read_catalogue(sources)
    if not any(getattr(catalogue, section) for section in SECTIONS):
        named = ", ".join(map(str, paths))
        raise OperatorError("empty_catalogue", f"{named}: no campaign, seller, buyer or order is there")
    return catalogue


def stored_catalogue(conn: Connection, version: int | None = None) -> Stored:
    """A version of the catalogue (the latest if None), and the keys that were given out."""
    version, documents, keys = catalogue_store.load(conn, version)
    entries: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for kind, _, document in documents:
        assert kind in KINDS, f"the ledger holds a {kind}"
        entries[kind].append(from_document(kind, document))
    sections = {section: tuple(entries[kind]) for section, kind in SECTIONS.items()}
    house = entries["exchange"][0] if entries["exchange"] else House()
    return version, Catalogue(exchange=house, **sections), keys


def apply_catalogue(
    engine: Engine, catalogue: Catalogue, at_ms: int, note: str, who: str = audit.CLI
) -> Applied:
    """Make what is stored match `catalogue`, in one transaction, in which is also written down that `who` did it. Lead
    routes that their owners made stay.

    It is read and compared before that transaction, which holds up the writers of a running server: so
    the transaction is short. Where another change comes between, all is done again. Raises
    `CatalogueConflict` when that happens every time.
    """
    for tries_left in reversed(range(TRIES)):
        with engine.connect() as conn:
            version, before, _ = stored_catalogue(conn)
        after = with_owners_routes(catalogue, before)
        changes, documents = diff(before, after), documents_of(after)
        try:
            with transaction(engine) as conn:
                applied = Applied(changes, catalogue_store.apply(conn, documents, at_ms, note, version))
                audit.record(conn, _told(applied, who), at_ms)
                return applied
        except CatalogueConflict:
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def _told(applied: Applied, who: str) -> list[audit.NewEntry]:
    """A line of the audit for each entry."""
    changes = applied.changes
    return [
        audit.NewEntry(
            who=who,
            action=_action(one.old, one.new),
            kind=one.kind,
            entry=one.id,
            version=applied.version,
            changes=tuple(map(str, one.keys)),
        )
        for one in (*changes.added, *changes.changed, *changes.removed)
    ]


def _action(before: object, after: object) -> audit.Action:
    return "create" if before is None else "delete" if after is None else "change"


class EntryChange(msgspec.Struct, frozen=True):
    """One entry before and after a change (None: it was not there, or is gone), and the version that now holds."""

    kind: Kind
    id: str
    before: Any
    after: Any
    version: int


Beside = Callable[[Connection, EntryChange], None]
"""What is written in the same transaction as a change of an entry."""


def change_entry(
    engine: Engine,
    kind: Kind,
    id_: str,
    make: Callable[[Any], Any],
    at_ms: int,
    note: str,
    *,
    who: str = DOOR,
    expected_version: int | None = None,
    beside: Beside | None = None,
) -> EntryChange:
    """Change one entry of the stored catalogue: `make` is given what is there (or None) and gives what is to be there
    (or None: it is taken out). Blocks; a running server trades on it within a second.

    The whole catalogue is held to the rules, as `auction apply` does. `make` may be called more than once, where
    other changes come between; what it raises passes through. That `who` (such as `admin:ops`) did it is written
    down in the same transaction; `beside` writes more in it (a number, an answer that is kept), also where nothing
    changed. Raises `EntryMistakes` for broken rules; `CatalogueConflict` where the catalogue is not at
    `expected_version`, or others came between every time; `HouseError` where the ledger is away.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            change = _changed_entry(engine, kind, id_, make, expected_version)
            with transaction(engine) as conn:
                return _store(conn, change, at_ms, note, who, beside)
        except CatalogueConflict:
            if not tries_left or expected_version is not None:
                raise
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            raise away() from error
    raise AssertionError("the last try returns or raises")


def _changed_entry(
    engine: Engine, kind: Kind, id_: str, make: Callable[[Any], Any], expected_version: int | None
) -> EntryChange:
    """Read, changed and checked before the transaction, which holds up the writers of a running server. The version is
    that on which it was done."""
    with engine.connect() as conn:
        version, catalogue, _ = stored_catalogue(conn)
    if expected_version is not None and version != expected_version:
        raise CatalogueConflict(expected_version, version)
    before = entry_of(catalogue, kind, id_)
    after = make(before)
    if after is not None and kind != HOUSE and after.id != id_:
        raise ValueError(f"{kind} {id_} cannot become {after.id}: an entry keeps its id")
    if after != before:
        mistakes = broken_rules(catalogue, with_entry(catalogue, kind, id_, after))
        if mistakes:
            raise EntryMistakes(mistakes)
    return EntryChange(kind, id_, before, after, version)


def _store(
    conn: Connection, change: EntryChange, at_ms: int, note: str, who: str, beside: Beside | None
) -> EntryChange:
    """In one transaction: the change, who did it, and what is written beside it."""
    before, after = change.before, change.after
    document = None if after is None else to_document(after)
    name = (change.kind, change.id)
    version = catalogue_store.change(conn, name, document, at_ms, note, change.version)
    if version != change.version:
        told = audit.NewEntry(
            who=who,
            action=_action(before, after),
            kind=change.kind,
            entry=change.id,
            version=version,
            changes=() if before is None or after is None else tuple(map(str, key_changes(before, after))),
        )
        audit.record(conn, [told], at_ms)
    stored = replace(change, version=version)
    if beside is not None:
        beside(conn, stored)
    return stored


def documents_of(catalogue: Catalogue) -> dict[tuple[str, str], dict[str, object]]:
    """Every entry as the ledger keeps it, by kind and id."""
    documents = {("exchange", "exchange"): to_document(catalogue.exchange)}
    for section, kind in SECTIONS.items():
        documents |= {(kind, entry.id): to_document(entry) for entry in getattr(catalogue, section)}
    return documents
