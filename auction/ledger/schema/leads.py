"""Pings, leads, offers and sales.

P1 is a matter of the schema, not of care. A lead says into how many places it may be sold (`leads.places`:
1 when it is sold exclusively, the campaign's N when it is shared) and every sale must repeat that number:
the foreign key (lead_id, places) makes all sales of one lead agree. A sale then takes one place between 1
and `places`, and a place can be taken once. So next to an exclusive sale there is no place for any other, a
shared lead has N and no more, and `UNIQUE (lead_id, buyer_id)` keeps a buyer from buying twice. Only
CHECKs, keys and foreign keys: no trigger, no exclusion constraint, nothing that one of the two databases
does not know. A sale also needs its offer: nothing is sold that was not first written down as intended.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from auction.ledger.schema.base import metadata, one_of

LEAD_STATES: Final = (
    "received",
    "offered",
    "sold",
    "rejected",
    "pending",
    "returned",
    "converted",
    "delivered",
    "waiting",
)
OFFER_STATES: Final = ("sent", "accepted", "rejected", "unknown")
MOST_PLACES: Final = 20
"""The highest `max_buyers` that a campaign may have."""

pings = Table(
    "pings",
    metadata,
    Column("ping_id", Text, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("seller", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("test", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("payout_micros", BigInteger, nullable=False),
    Column("market_version", Integer, nullable=False),
    Column("sub_id", Text),
    Column("lead", Text, nullable=False),
    Column("detail", LargeBinary, nullable=False),
    Column("own_us", Integer, nullable=False),
    Column("wait_us", Integer, nullable=False),
    one_of("status", ("offer", "no_bid")),
    Index("ix_pings_seller_at_ms", "seller", "at_ms"),
    Index("ix_pings_at_ms", "at_ms"),
)

leads = Table(
    "leads",
    metadata,
    Column("lead_id", Text, primary_key=True),
    Column("ping_id", Text, nullable=False),
    Column("seller", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("test", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("payout_micros", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("market_version", Integer, nullable=False),
    Column("sub_id", Text),
    Column("ping_fields", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("answer", Text),
    Column("worker", Text, nullable=False),
    Column("places", Integer),
    Column("plan", LargeBinary),
    UniqueConstraint("ping_id"),
    UniqueConstraint("lead_id", "places"),
    one_of("state", LEAD_STATES),
    Index("ix_leads_seller_created_at_ms", "seller", "created_at_ms"),
    Index(
        "ix_leads_unsettled",
        "updated_at_ms",
        sqlite_where=text("state IN ('received', 'offered', 'pending')"),
        postgresql_where=text("state IN ('received', 'offered', 'pending')"),
    ),
    Index(
        "ix_leads_not_forgotten",
        "created_at_ms",
        sqlite_where=text("length(sealed) > 0"),
        postgresql_where=text("length(sealed) > 0"),
    ),
)
"""`sealed` is empty once the lead was forgotten.

`ping_id` has no foreign key: the log of pings may drop a row, a lead may not be lost for it."""

offers = Table(
    "offers",
    metadata,
    Column("lead_id", Text, ForeignKey(leads.c.lead_id), primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("buyer_id", Text, nullable=False),
    Column("price_micros", BigInteger, nullable=False),
    Column("payout_micros", BigInteger, nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("sent_at_ms", BigInteger, nullable=False),
    Column("answered_at_ms", BigInteger),
    Column("buyer_lead_id", Text),
    Column("redirect_url", Text),
    one_of("state", OFFER_STATES),
    Index(
        "ix_offers_unknown",
        "sent_at_ms",
        sqlite_where=text("state = 'unknown'"),
        postgresql_where=text("state = 'unknown'"),
    ),
    Index(
        "ix_offers_buyer_lead_id",
        "buyer_id",
        "buyer_lead_id",
        sqlite_where=text("buyer_lead_id IS NOT NULL"),
        postgresql_where=text("buyer_lead_id IS NOT NULL"),
    ),
    sqlite_with_rowid=False,
)

sales = Table(
    "sales",
    metadata,
    Column("lead_id", Text, primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("places", Integer, nullable=False),
    Column("exclusive", Boolean, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("buyer_id", Text, nullable=False),
    Column("seller", Text, nullable=False),
    Column("campaign", Text, nullable=False),
    Column("price_micros", BigInteger, nullable=False),
    Column("payout_micros", BigInteger, nullable=False),
    Column("margin_micros", BigInteger, nullable=False),
    Column("sold_at_ms", BigInteger, nullable=False),
    Column("offered_at_ms", BigInteger, nullable=False),
    Column("test", Boolean, nullable=False),
    Column("delivered_at_ms", BigInteger),
    Column("converted_at_ms", BigInteger),
    Column("value_micros", BigInteger),
    Column("returned_at_ms", BigInteger),
    Column("return_reason", Text),
    Column("cap_freed", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("lead_id", "buyer_id"),
    ForeignKeyConstraint(["lead_id", "places"], [leads.c.lead_id, leads.c.places]),
    ForeignKeyConstraint(["lead_id", "order_id"], [offers.c.lead_id, offers.c.order_id]),
    CheckConstraint("price_micros = payout_micros + margin_micros", name="money"),
    CheckConstraint("payout_micros >= 0 AND margin_micros >= 0", name="positive"),
    CheckConstraint(f"places <= {MOST_PLACES} AND place >= 1 AND place <= places", name="place"),
    CheckConstraint("NOT exclusive OR places = 1", name="exclusive"),
    CheckConstraint("value_micros >= 0", name="value"),
    CheckConstraint("NOT cap_freed OR returned_at_ms IS NOT NULL", name="freed"),
    Index("ix_sales_order_id_offered_at_ms", "order_id", "offered_at_ms"),
    Index("ix_sales_buyer_id_offered_at_ms", "buyer_id", "offered_at_ms"),
    Index("ix_sales_seller_sold_at_ms", "seller", "sold_at_ms"),
    Index(
        "ix_sales_returned",
        "order_id",
        "offered_at_ms",
        sqlite_where=text("returned_at_ms IS NOT NULL"),
        postgresql_where=text("returned_at_ms IS NOT NULL"),
    ),
    Index(
        "ix_sales_freed",
        "buyer_id",
        "returned_at_ms",
        sqlite_where=text("cap_freed"),
        postgresql_where=text("cap_freed"),
    ),
    sqlite_with_rowid=False,
)
"""A sale that was returned keeps its row, and with it its place (P1): the lead is not sold into it again. Its price,
payout and margin stay what they were; they are owed while `returned_at_ms` is null. `cap_freed`: it does not count in
the caps any more."""

lead_history = Table(
    "lead_history",
    metadata,
    Column("lead_id", Text, ForeignKey(leads.c.lead_id), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_with_rowid=False,
)

fingerprints = Table(
    "fingerprints",
    metadata,
    Column("campaign", Text, primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
    Column("lead_id", Text, ForeignKey(leads.c.lead_id), primary_key=True, index=True),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What a lead is known by, in its campaign: keyed hashes, one for each choice of fields that a rule goes by."""

lead_keys = Table(
    "lead_keys",
    metadata,
    Column("keyed", Text, primary_key=True),
    Column("lead_id", Text, ForeignKey(leads.c.lead_id), nullable=False, unique=True),
    sqlite_with_rowid=False,
)
"""Leads that came with an `Idempotency-Key` and could be sold by the offer of a ping that was sent before: the key (a
keyed hash) takes one of them, whichever ping it is sold by. Other keyed leads have it as the id of their ping."""

waits = Table(
    "waits",
    metadata,
    Column("lead_id", Text, ForeignKey(leads.c.lead_id), primary_key=True),
    Column("campaign", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("tried_at_ms", BigInteger, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Index("ix_waits_next_at_ms", "next_at_ms"),
    sqlite_with_rowid=False,
)
"""The leads that are `waiting`, each until it is auctioned again (`ledger/waiting.py`)."""
