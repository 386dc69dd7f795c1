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
from auction.catalogue.documents import KINDS, from_document, to_document
from auction.catalogue.reading import Source, read_catalogue
from auction.errors import OperatorError
from auction.ledger import catalogue_store
from auction.ledger.engine import transaction, writing
from auction.market.model import Catalogue, House

_SECTIONS = {"campaigns": "campaign", "sellers": "seller", "buyers": "buyer", "orders": "order"}


class Applied(msgspec.Struct, frozen=True):
    """What an apply did: the differences, and the version that now holds."""

    changes: Changes
    version: int


def read_files(paths: Sequence[Path]) -> Catalogue:
    """The catalogue that these files make together. Raises `OperatorError` naming every mistake at once."""
    sources = []
    for path in paths:
        try:
            sources.append(Source(str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise OperatorError("unreadable_file", f"{path}: cannot be read: {error}") from None
    return read_catalogue(sources)


def stored_catalogue(
    conn: Connection, version: int | None = None
) -> tuple[int, Catalogue, dict[str, list[str]]]:
    """A version of the catalogue (the latest if None), and the keys that sellers were given."""
    version, documents, keys = catalogue_store.load(conn, version)
    entries: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for kind, _, document in documents:
        assert kind in KINDS, f"the ledger holds a {kind}"
        entries[kind].append(from_document(kind, document))
    sections = {section: tuple(entries[kind]) for section, kind in _SECTIONS.items()}
    house = entries["exchange"][0] if entries["exchange"] else House()
    return version, Catalogue(exchange=house, **sections), keys


def apply_catalogue(
    engine: Engine, catalogue: Catalogue, at_ms: int, note: str, *, dry_run: bool = False
) -> Applied:
    """Make what is stored match `catalogue`, in one transaction; with `dry_run` only tell what would change."""
    with transaction(writing(engine)) as conn:
        version, before, _ = stored_catalogue(conn)
        changes = diff(before, catalogue)
        if not dry_run:
            version = catalogue_store.apply(conn, documents_of(catalogue), at_ms, note, version)
    return Applied(changes, version)


def documents_of(catalogue: Catalogue) -> dict[tuple[str, str], dict[str, object]]:
    """Every entry as the ledger keeps it, by kind and id."""
    documents = {("exchange", "exchange"): to_document(catalogue.exchange)}
    for section, kind in _SECTIONS.items():
        documents |= {(kind, entry.id): to_document(entry) for entry in getattr(catalogue, section)}
    return documents
