"""The house itself: its workers, its keys, who does what only one may do, which counters it trades on, and what its
workers leased from them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
)

from auction.ledger.schema.base import metadata

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("beats", BigInteger, nullable=False),
    Column("fenced", Boolean, nullable=False),
)
"""Those that sell leads now, and those that were fenced and left leads behind. `leads.worker` has no foreign key: a
worker's row goes when it ends well, and its leads stay."""

house_keys = Table(
    "house_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("made_at_ms", BigInteger, nullable=False),
)

chores = Table(
    "chores",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)
"""Who of all workers does what only one should do, and until when."""

house = Table(
    "house",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("house_id", Text, nullable=False),
    Column("made_at_ms", BigInteger, nullable=False),
    Column("counters_id", Text),
    Column("counters_where", Text),
    Column("counters_seen_ms", BigInteger),
    CheckConstraint("one = 1", name="one"),
)
"""One row: who this ledger is, and which counters are traded on with it (`ledger/house.py`)."""

ping_leases = Table(
    "ping_leases",
    metadata,
    Column("buyer_id", Text, primary_key=True),
    Column("cap", Text, primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("worker", Text, primary_key=True),
    Column("end_ms", BigInteger, nullable=False),
    Column("pings", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("ix_ping_leases_end_ms", "end_ms"),
    sqlite_with_rowid=False,
)
"""Pings that a process may have leased of one window of a cap, an hour's or a longer one's; `at_ms`: when it last said
so. Written before they are leased (`ledger/lease_book.py`)."""
