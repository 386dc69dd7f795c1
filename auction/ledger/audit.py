"""Who changed what of the catalogue, when, and which version it made. Written with the change, in its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
import uuid_utils
from sqlalchemy import Connection, insert, select

from auction.ledger.conditions import Asked, Found, found, where
from auction.ledger.schema import audit

Action = Literal[
    "create",
    "change",
    "delete",
    "add_key",
    "revoke_key",
    "replace_entries",
    "add_entries",
    "remove_entries",
]
"""What can be done to an entry, to somebody's keys, to the entries of a list."""
CLI: Final = "cli"
"""Who it was that called from the command line."""


class NewEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was changed: `changes` are the differences in words, no secrets."""

    who: str
    action: Action
    kind: str
    entry: str
    version: int | None = None
    changes: tuple[str, ...] = ()


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The same as it was written."""

    id: str
    at_ms: int
    who: str
    action: str
    kind: str
    entry: str
    version: int | None
    changes: tuple[str, ...]


def record(conn: Connection, entries: Sequence[NewEntry], at_ms: int) -> None:
    """Writes them down, in this order."""
    rows = [
        {
            **msgspec.structs.asdict(entry),
            "id": uuid_utils.uuid7().hex,
            "at_ms": at_ms,
            "changes": msgspec.json.encode(entry.changes).decode(),
        }
        for entry in entries
    ]
    if rows:
        conn.execute(insert(audit), rows)


def entries(conn: Connection, asked: Asked) -> Found[AuditEntry]:
    """What was written down, the latest first. The columns by which it is asked for are those of `AuditEntry`."""
    wanted = where(asked, dict(audit.c.items()))
    rows = select(audit).where(*wanted).order_by(audit.c.id.desc())
    return found(conn, rows, asked, _entry)


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(**{**row, "changes": tuple(msgspec.json.decode(row["changes"]))})
