"""The catalogue between its files and the ledger: what is stored, and making what is stored match.

Files, the admin API and the console are hands on the same thing; this is what they hold it by.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine

from auction.catalogue.changes import Changes, diff
from auction.catalogue.documents import KINDS, SECTIONS, from_document, to_document
from auction.catalogue.reading import Source, read_catalogue
from auction.errors import OperatorError
from auction.ledger import catalogue_store
from auction.ledger.engine import transaction
from auction.ledger.faults import CatalogueConflict
from auction.market.model import Catalogue, House

TRIES = 3


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


def apply_catalogue(engine: Engine, catalogue: Catalogue, at_ms: int, note: str) -> Applied:
    """Make what is stored match `catalogue`, in one transaction.

    It is read and compared before that transaction, which holds up the writers of a running server: so
    the transaction is short. Where another change comes between, all is done again. Raises
    `CatalogueConflict` when that happens every time.
    """
    documents = documents_of(catalogue)
    for tries_left in reversed(range(TRIES)):
        with engine.connect() as conn:
            version, before, _ = stored_catalogue(conn)
        changes = diff(before, catalogue)
        try:
            with transaction(engine) as conn:
                return Applied(changes, catalogue_store.apply(conn, documents, at_ms, note, version))
        except CatalogueConflict:
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def documents_of(catalogue: Catalogue) -> dict[tuple[str, str], dict[str, object]]:
    """Every entry as the ledger keeps it, by kind and id."""
    documents = {("exchange", "exchange"): to_document(catalogue.exchange)}
    for section, kind in SECTIONS.items():
        documents |= {(kind, entry.id): to_document(entry) for entry in getattr(catalogue, section)}
    return documents
