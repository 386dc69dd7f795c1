"""The ledger as it began: catalogue, pings, leads with their offers and sales."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates every table."""
    op.create_table(
        "catalogue_versions",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("applied_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_catalogue_versions")),
    )
    op.create_table(
        "leads",
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("ping_id", sa.Text(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("payout_micros", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("market_version", sa.Integer(), nullable=False),
        sa.Column("sub_id", sa.Text(), nullable=True),
        sa.Column("ping_fields", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("places", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "state IN ('received', 'offered', 'sold', 'rejected', 'pending', "
            "'returned', 'converted', 'delivered')",
            name=op.f("ck_leads_state"),
        ),
        sa.PrimaryKeyConstraint("lead_id", name=op.f("pk_leads")),
        sa.UniqueConstraint("lead_id", "places", name=op.f("uq_leads_lead_id_places")),
        sa.UniqueConstraint("ping_id", name=op.f("uq_leads_ping_id")),
    )
    op.create_index("ix_leads_seller_created_at_ms", "leads", ["seller", "created_at_ms"], unique=False)
    op.create_index(
        "ix_leads_unsettled",
        "leads",
        ["updated_at_ms"],
        unique=False,
        sqlite_where=sa.text("state IN ('received', 'offered', 'pending')"),
        postgresql_where=sa.text("state IN ('received', 'offered', 'pending')"),
    )
    op.create_table(
        "pings",
        sa.Column("ping_id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("payout_micros", sa.BigInteger(), nullable=False),
        sa.Column("market_version", sa.Integer(), nullable=False),
        sa.Column("sub_id", sa.Text(), nullable=True),
        sa.Column("lead", sa.Text(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.Column("own_us", sa.Integer(), nullable=False),
        sa.Column("wait_us", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('offer', 'no_bid')", name=op.f("ck_pings_status")),
        sa.PrimaryKeyConstraint("ping_id", name=op.f("pk_pings")),
    )
    op.create_index("ix_pings_at_ms", "pings", ["at_ms"], unique=False)
    op.create_index("ix_pings_seller_at_ms", "pings", ["seller", "at_ms"], unique=False)
    op.create_table(
        "seller_keys",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_seller_keys")),
    )
    op.create_index(op.f("ix_seller_keys_seller"), "seller_keys", ["seller"], unique=False)
    op.create_table(
        "catalogue_entries",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("added_in", sa.Integer(), nullable=False),
        sa.Column("removed_in", sa.Integer(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.CheckConstraint("removed_in > added_in", name=op.f("ck_catalogue_entries_lifetime")),
        sa.ForeignKeyConstraint(
            ["added_in"], ["catalogue_versions.version"], name=op.f("fk_catalogue_entries_added_in")
        ),
        sa.ForeignKeyConstraint(
            ["removed_in"], ["catalogue_versions.version"], name=op.f("fk_catalogue_entries_removed_in")
        ),
        sa.PrimaryKeyConstraint("kind", "id", "added_in", name=op.f("pk_catalogue_entries")),
    )
    op.create_index(
        "uq_catalogue_entries_live",
        "catalogue_entries",
        ["kind", "id"],
        unique=True,
        sqlite_where=sa.text("removed_in IS NULL"),
        postgresql_where=sa.text("removed_in IS NULL"),
    )
    op.create_table(
        "fingerprints",
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_fingerprints_lead_id")),
        sa.PrimaryKeyConstraint("campaign", "hash", "lead_id", name=op.f("pk_fingerprints")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lead_history",
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_lead_history_lead_id")),
        sa.PrimaryKeyConstraint("lead_id", "seq", name=op.f("pk_lead_history")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "offers",
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("buyer_id", sa.Text(), nullable=False),
        sa.Column("price_micros", sa.BigInteger(), nullable=False),
        sa.Column("payout_micros", sa.BigInteger(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("sent_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("answered_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("buyer_lead_id", sa.Text(), nullable=True),
        sa.Column("redirect_url", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('sent', 'accepted', 'rejected', 'unknown')", name=op.f("ck_offers_state")
        ),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_offers_lead_id")),
        sa.PrimaryKeyConstraint("lead_id", "order_id", name=op.f("pk_offers")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sales",
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("places", sa.Integer(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("buyer_id", sa.Text(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("price_micros", sa.BigInteger(), nullable=False),
        sa.Column("payout_micros", sa.BigInteger(), nullable=False),
        sa.Column("margin_micros", sa.BigInteger(), nullable=False),
        sa.Column("sold_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("offered_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.CheckConstraint("NOT exclusive OR places = 1", name=op.f("ck_sales_exclusive")),
        sa.CheckConstraint("payout_micros >= 0 AND margin_micros >= 0", name=op.f("ck_sales_positive")),
        sa.CheckConstraint("places <= 20 AND place >= 1 AND place <= places", name=op.f("ck_sales_place")),
        sa.CheckConstraint("price_micros = payout_micros + margin_micros", name=op.f("ck_sales_money")),
        sa.ForeignKeyConstraint(
            ["lead_id", "order_id"],
            ["offers.lead_id", "offers.order_id"],
            name=op.f("fk_sales_lead_id_order_id"),
        ),
        sa.ForeignKeyConstraint(
            ["lead_id", "places"], ["leads.lead_id", "leads.places"], name=op.f("fk_sales_lead_id_places")
        ),
        sa.PrimaryKeyConstraint("lead_id", "place", name=op.f("pk_sales")),
        sa.UniqueConstraint("lead_id", "buyer_id", name=op.f("uq_sales_lead_id_buyer_id")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_sales_buyer_id_offered_at_ms", "sales", ["buyer_id", "offered_at_ms"], unique=False)
    op.create_index("ix_sales_order_id_offered_at_ms", "sales", ["order_id", "offered_at_ms"], unique=False)
    op.create_index("ix_sales_seller_sold_at_ms", "sales", ["seller", "sold_at_ms"], unique=False)
