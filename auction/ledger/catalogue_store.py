"""The catalogue in the ledger: every version that ever was, and the keys of those who call us.

An entry is a plain JSON document under (kind, id); the market gives it meaning. A version is a number, and
each row says in which version it came and in which it went, so an apply writes only what changed and any old
version can be read again, to explain an auction that ran against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from auction.errors import OperatorError
from auction.ledger import audit
from auction.ledger.engine import is_postgresql
from auction.ledger.faults import CatalogueConflict
from auction.ledger.schema import api_keys, catalogue_entries, catalogue_versions
from auction.market.entry import KeyKind

Document = dict[str, Any]
Keys = dict[tuple[KeyKind, str], list[str]]
"""Hashes of keys by whose they are."""
Loaded = tuple[int, list[tuple[str, str, Document]], Keys]

_LOCK: Final = 0x0A0C_71_0C
_CURRENT = select(func.coalesce(func.max(catalogue_versions.c.version), 0))
_ENTRIES = (
    select(catalogue_entries.c.kind, catalogue_entries.c.id, catalogue_entries.c.document)
    .where(
        catalogue_entries.c.added_in <= bindparam("version"),
        or_(
            catalogue_entries.c.removed_in.is_(None),
            catalogue_entries.c.removed_in > bindparam("version"),
        ),
    )
    .order_by(catalogue_entries.c.kind, catalogue_entries.c.id)
)
_LIVE = select(catalogue_entries.c.document).where(
    catalogue_entries.c.kind == bindparam("kind"),
    catalogue_entries.c.id == bindparam("id"),
    catalogue_entries.c.removed_in.is_(None),
)
_OF_KIND = (
    select(catalogue_entries.c.document)
    .where(catalogue_entries.c.kind == bindparam("kind"), catalogue_entries.c.removed_in.is_(None))
    .order_by(catalogue_entries.c.id)
)
_KEYS = (
    select(api_keys.c.kind, api_keys.c.holder, api_keys.c.hash)
    .where(api_keys.c.revoked_at_ms.is_(None))
    .order_by(api_keys.c.kind, api_keys.c.holder, api_keys.c.hash)
)
_KEY = select(api_keys).where(api_keys.c.hash == bindparam("hash"))
_KEYS_OF = (
    select(api_keys)
    .where(api_keys.c.kind == bindparam("kind"), api_keys.c.holder == bindparam("holder"))
    .order_by(api_keys.c.created_at_ms, api_keys.c.hash)
)
_END_ENTRY = (
    update(catalogue_entries)
    .where(
        catalogue_entries.c.kind == bindparam("of_kind"),
        catalogue_entries.c.id == bindparam("of_id"),
        catalogue_entries.c.removed_in.is_(None),
    )
    .values(removed_in=bindparam("version"))
)
_REVOKE = (
    update(api_keys)
    .where(api_keys.c.hash == bindparam("of_hash"), api_keys.c.revoked_at_ms.is_(None))
    .values(revoked_at_ms=bindparam("at_ms"))
)


def current_version(conn: Connection) -> int:
    """The latest version; 0 while nothing was applied yet. One look at an index."""
    return int(conn.execute(_CURRENT).scalar_one())


def documents_of(conn: Connection, kind: str) -> list[Document]:
    """The entries of one kind as they stand, by id."""
    decode = msgspec.json.Decoder().decode
    return [decode(document) for document in conn.execute(_OF_KIND, {"kind": kind}).scalars()]


def document_of(conn: Connection, kind: str, id_: str) -> Document | None:
    """One entry as it stands."""
    document = conn.execute(_LIVE, {"kind": kind, "id": id_}).scalar()
    return None if document is None else msgspec.json.decode(document)


def load(conn: Connection, version: int | None = None) -> Loaded:
    """A version (the latest if None), its entries by kind and id, and the keys by holder that are good *now*.

    Raises `OperatorError` for a version that never was.
    """
    latest = current_version(conn)
    if version is None:
        version = latest
    elif not 0 <= version <= latest:
        raise OperatorError("unknown_version", f"the catalogue has the versions 0 to {latest}, not {version}")
    entries = [
        (row.kind, row.id, msgspec.json.decode(row.document))
        for row in conn.execute(_ENTRIES, {"version": version})
    ]
    keys: Keys = {}
    for kind, holder, key_hash in conn.execute(_KEYS):
        keys.setdefault((kind, holder), []).append(key_hash)
    return version, entries, keys


def apply(
    conn: Connection,
    documents: Mapping[tuple[str, str], Document],
    at_ms: int,
    note: str,
    expected_version: int | None = None,
) -> int:
    """Makes the catalogue be exactly `documents`; returns its version, a new one only if something changed.

    Raises `CatalogueConflict` if the latest version is not `expected_version` (None: whatever it is).
    """
    latest = _lock(conn)
    if expected_version is not None and expected_version != latest:
        raise CatalogueConflict(expected_version, latest)
    before = {(row.kind, row.id): row.document for row in conn.execute(_ENTRIES, {"version": latest})}
    after = {name: _canonical(document) for name, document in documents.items()}
    ended = [name for name, document in before.items() if after.get(name) != document]
    begun = [name for name, document in after.items() if before.get(name) != document]
    if not ended and not begun:
        return latest
    version = _new_version(conn, latest, at_ms, note)
    if ended:
        conn.execute(_END_ENTRY, [{"of_kind": kind, "of_id": id_, "version": version} for kind, id_ in ended])
    if begun:
        conn.execute(
            insert(catalogue_entries),
            [
                {"kind": kind, "id": id_, "added_in": version, "document": after[kind, id_]}
                for kind, id_ in begun
            ],
        )
    return version


def change(
    conn: Connection,
    name: tuple[str, str],
    document: Document | None,
    at_ms: int,
    note: str,
    expected_version: int,
) -> int:
    """Makes the one entry of this kind and id be `document` (None: not be there); returns the catalogue's version,
    a new one only if something changed.

    Raises `CatalogueConflict` if the latest version is not `expected_version`.
    """
    latest = _lock(conn)
    if expected_version != latest:
        raise CatalogueConflict(expected_version, latest)
    kind, id_ = name
    before = conn.execute(_LIVE, {"kind": kind, "id": id_}).scalar()
    after = None if document is None else _canonical(document)
    if before == after:
        return latest
    version = _new_version(conn, latest, at_ms, note)
    if before is not None:
        conn.execute(_END_ENTRY, {"of_kind": kind, "of_id": id_, "version": version})
    if after is not None:
        row = {"kind": kind, "id": id_, "added_in": version, "document": after}
        conn.execute(insert(catalogue_entries), row)
    return version


def add_key(
    conn: Connection, kind: KeyKind, holder: str, key_hash: str, at_ms: int, who: str = audit.CLI
) -> int:
    """Gives somebody one more key (`sha256:` and the hash); returns the version that workers will notice. That `who`
    did it is written down.

    The same key again changes nothing. Raises `OperatorError` if it is another's, or was revoked.
    """
    latest = _lock(conn)
    known = conn.execute(_KEY, {"hash": key_hash}).first()
    if known is None:
        row = {"hash": key_hash, "kind": kind, "holder": holder, "created_at_ms": at_ms}
        conn.execute(insert(api_keys), row)
        version = _new_version(conn, latest, at_ms, f"key added for {kind} {holder}")
        _note_key(conn, who, "add_key", (kind, holder, key_hash), version, at_ms)
        return version
    if known.revoked_at_ms is not None:
        raise OperatorError("key_revoked", "this key was revoked: make a new one with `auction keys create`")
    if (known.kind, known.holder) != (kind, holder):
        raise OperatorError("key_taken", f"this key is {known.holder}'s: make another one for {holder}")
    return latest


def revoke_key(conn: Connection, key_hash: str, at_ms: int, who: str = audit.CLI) -> int:
    """Takes a key back for good; returns the version that workers will notice. Twice changes nothing. That `who` did
    it is written down.

    Raises `OperatorError` if there is no such key.
    """
    latest = _lock(conn)
    known = conn.execute(_KEY, {"hash": key_hash}).first()
    if known is None:
        raise OperatorError("unknown_key", "nobody has this key")
    if conn.execute(_REVOKE, {"of_hash": key_hash, "at_ms": at_ms}).rowcount == 0:
        return latest
    version = _new_version(conn, latest, at_ms, f"key revoked for {known.kind} {known.holder}")
    _note_key(conn, who, "revoke_key", (known.kind, known.holder, key_hash), version, at_ms)
    return version


class ApiKey(msgspec.Struct, frozen=True):
    """A key that somebody was given, as its hash; `revoked_at_ms` where it is not good any more."""

    hash: str
    created_at_ms: int
    revoked_at_ms: int | None


def keys_of(conn: Connection, kind: KeyKind, holder: str) -> list[ApiKey]:
    """All keys that they were ever given, oldest first."""
    rows = conn.execute(_KEYS_OF, {"kind": kind, "holder": holder})
    return [ApiKey(row.hash, row.created_at_ms, row.revoked_at_ms) for row in rows]


def _note_key(
    conn: Connection, who: str, action: audit.Action, key: tuple[str, str, str], version: int, at_ms: int
) -> None:
    kind, holder, key_hash = key
    told = audit.NewEntry(
        who=who, action=action, kind=kind, entry=holder, version=version, changes=(key_hash,)
    )
    audit.record(conn, [told], at_ms)


def _lock(conn: Connection) -> int:
    """One change of the catalogue at a time (SQLite has one writer as it is). Returns the latest version."""
    if is_postgresql(conn):
        conn.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    return current_version(conn)


def _new_version(conn: Connection, latest: int, at_ms: int, note: str) -> int:
    row = {"version": latest + 1, "applied_at_ms": at_ms, "note": note}
    conn.execute(insert(catalogue_versions), row)
    return latest + 1


def _canonical(document: Document) -> str:
    """The same text for the same document, in whatever order its keys were written."""
    return msgspec.json.encode(document, order="sorted").decode()
