"""What is traded, who may call, who changed it: the catalogue's versions, keys, numbers, the audit."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from auction.ledger.schema.base import metadata, one_of

KEY_KINDS: Final = ("seller", "buyer", "admin")

catalogue_versions = Table(
    "catalogue_versions",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_at_ms", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)

catalogue_entries = Table(
    "catalogue_entries",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("added_in", Integer, ForeignKey(catalogue_versions.c.version), primary_key=True),
    Column("removed_in", Integer, ForeignKey(catalogue_versions.c.version)),
    Column("document", Text, nullable=False),
    CheckConstraint("removed_in > added_in", name="lifetime"),
)
"""Temporal rows: version v is made of those with `added_in <= v < removed_in` (or no `removed_in`)."""

Index(
    "uq_catalogue_entries_live",
    catalogue_entries.c.kind,
    catalogue_entries.c.id,
    unique=True,
    sqlite_where=text("removed_in IS NULL"),
    postgresql_where=text("removed_in IS NULL"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),
    one_of("kind", KEY_KINDS),
    Index("ix_api_keys_kind_holder", "kind", "holder"),
)

numbers = Table(
    "numbers",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    UniqueConstraint("kind", "number"),
    sqlite_with_rowid=False,
)
"""Entries of the catalogue by number, for doors whose documents number them: see `ledger/numbers.py`."""

audit = Table(
    "audit",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("version", Integer),
    Column("changes", Text, nullable=False),
    Index("ix_audit_kind_entry", "kind", "entry"),
)
"""Who changed what of the catalogue. Ids are of their time (UUIDv7), so they are in the order of the changes."""

request_keys = Table(
    "request_keys",
    metadata,
    Column("name", LargeBinary, primary_key=True),
    Column("caller", Text, nullable=False, index=True),
    Column("print", LargeBinary, nullable=False),
    Column("owner", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False, index=True),
    Column("answer", LargeBinary),
)
"""`Idempotency-Key`s of changes. `until_ms`: when the owner's lease is over, or the answer is kept no longer."""
