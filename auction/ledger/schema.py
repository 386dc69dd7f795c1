"""The tables of the ledger: one description for SQLite and PostgreSQL.

Kept alike on purpose: ids, states and JSON are text, times are milliseconds since the epoch, money is micros,
so a row reads the same in either database and no dialect's type gets in between.

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
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

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
KEY_KINDS: Final = ("seller", "buyer", "admin")
OFFER_STATES: Final = ("sent", "accepted", "rejected", "unknown")
POSTBACK_STATES: Final = ("behind", "waiting", "delivered", "given_up")
MOST_PLACES: Final = 20
"""The highest `max_buyers` that a campaign may have."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _one_of(column: str, allowed: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in allowed)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


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
    _one_of("kind", KEY_KINDS),
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
    _one_of("status", ("offer", "no_bid")),
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
    _one_of("state", LEAD_STATES),
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
    _one_of("state", OFFER_STATES),
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
    _one_of("state", POSTBACK_STATES),
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

suppression_lists = Table(
    "suppression_lists",
    metadata,
    Column("list_id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("drafted", Integer, nullable=False),
    Column("form", Text, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("changed_at_ms", BigInteger, nullable=False),
    _one_of("form", ("sha256", "md5")),
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
