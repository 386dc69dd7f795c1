"""What is told of a lead later: by buyers (refused ones are kept), and to sellers (the outbox and its deliveries)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, Table, Text, text

from auction.ledger.schema.base import metadata, one_of
from auction.ledger.schema.leads import leads

POSTBACK_STATES: Final = ("behind", "waiting", "delivered", "given_up")

refused_postbacks = Table(
    "refused_postbacks",
    metadata,
    Column("buyer_id", Text, primary_key=True),
    Column("lead_id", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("times", Integer, nullable=False),
    Column("first_at_ms", BigInteger, nullable=False),
    Column("last_at_ms", BigInteger, nullable=False),
    Index("ix_refused_postbacks_last_at_ms", "last_at_ms"),
    sqlite_with_rowid=False,
)
"""What buyers told of leads that could not be: for the operator. The same again is counted in one row; `lead_id` and
`order_id` are empty where there is none of ours, as what a caller made up may name anybody."""

outbox = Table(
    "outbox",
    metadata,
    Column("lead_id", Text, ForeignKey(leads.c.lead_id), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("seller", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("payout_micros", BigInteger, nullable=False),
    Column("addressed_at_ms", BigInteger),
    Index("ix_outbox_at_ms", "at_ms"),
    Index(
        "ix_outbox_new",
        "at_ms",
        sqlite_where=text("addressed_at_ms IS NULL"),
        postgresql_where=text("addressed_at_ms IS NULL"),
    ),
    sqlite_with_rowid=False,
)
"""Moves that their seller is to be told (`ledger/outbox.py`). `seq` is that of the line in the lead's history, which
has the reason; what else is told of the lead stands with the lead. `addressed_at_ms`: its postbacks are written."""

postbacks = Table(
    "postbacks",
    metadata,
    Column("lead_id", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("endpoint", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("next_at_ms", BigInteger),
    Column("last_at_ms", BigInteger),
    Column("status", Integer),
    Column("error", Text),
    Column("answer", Text),
    ForeignKeyConstraint(["lead_id", "seq"], [outbox.c.lead_id, outbox.c.seq]),
    one_of("state", POSTBACK_STATES),
    Index(
        "ix_postbacks_unfinished",
        "endpoint",
        "next_at_ms",
        sqlite_where=text("state IN ('behind', 'waiting')"),
        postgresql_where=text("state IN ('behind', 'waiting')"),
    ),
    Index(
        "ix_postbacks_given_up",
        "last_at_ms",
        sqlite_where=text("state = 'given_up'"),
        postgresql_where=text("state = 'given_up'"),
    ),
    sqlite_with_rowid=False,
)
"""Events of the outbox on their way to one endpoint each, and how that went (`ledger/postbacks.py`). `endpoint` names a
seller's URL (`postbacks/endpoints.py`); `behind`: an earlier one of the same lead is not done yet. `since_ms` is when
it could first be sent. `next_at_ms` is there while it is `waiting`."""
