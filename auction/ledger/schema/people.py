"""Whom the house knows: by what a person is found to be forgotten, what was erased, and who is not to be sold."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Table, Text

from auction.ledger.schema.base import metadata, one_of
from auction.ledger.schema.leads import leads

people = Table(
    "people",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("lead_id", Text, ForeignKey(leads.c.lead_id), primary_key=True, index=True),
    sqlite_with_rowid=False,
)
"""Keyed hashes of a lead's phones and emails, for `auction forget`; gone when the lead is forgotten."""

erasures = Table(
    "erasures",
    metadata,
    Column("id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("asked", Text, nullable=False),
    Column("leads", Integer, nullable=False),
    Column("pings", Integer, nullable=False),
)
"""That personal data was erased: when, how it was asked for, and how much; never whose."""

suppression_lists = Table(
    "suppression_lists",
    metadata,
    Column("list_id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("drafted", Integer, nullable=False),
    Column("form", Text, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    one_of("form", ("sha256", "md5")),
)

suppression_runs = Table(
    "suppression_runs",
    metadata,
    Column("list_id", Text, ForeignKey(suppression_lists.c.list_id), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("prints", LargeBinary, nullable=False),
)
"""A list's prints by their first byte, sorted, eight bytes each, little-endian: see `suppression.buckets`."""
