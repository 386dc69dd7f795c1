"""The house itself: its workers, its keys, who does what only one may do, and which counters it trades on."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Integer, LargeBinary, Table, Text

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
