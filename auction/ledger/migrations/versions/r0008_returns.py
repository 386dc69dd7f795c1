"""The later life of a sale: delivered, converted, returned; and postbacks that were refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_SALES = (
    "delivered_at_ms BIGINT",
    "converted_at_ms BIGINT",
    "value_micros BIGINT CONSTRAINT ck_sales_value CHECK (value_micros >= 0)",
    "returned_at_ms BIGINT",
    "return_reason TEXT",
    (
        "cap_freed BOOLEAN DEFAULT false NOT NULL"
        " CONSTRAINT ck_sales_freed CHECK (NOT cap_freed OR returned_at_ms IS NOT NULL)"
    ),
)


def upgrade() -> None:
    """Adds columns to `sales` in place (no row is written anew), three indexes and a table."""
    for column in _SALES:
        op.execute(f"ALTER TABLE sales ADD COLUMN {column}")
    op.create_index(
        "ix_sales_returned",
        "sales",
        ["order_id", "offered_at_ms"],
        sqlite_where=sa.text("returned_at_ms IS NOT NULL"),
        postgresql_where=sa.text("returned_at_ms IS NOT NULL"),
    )
    op.create_index(
        "ix_sales_freed",
        "sales",
        ["buyer_id", "returned_at_ms"],
        sqlite_where=sa.text("cap_freed"),
        postgresql_where=sa.text("cap_freed"),
    )
    op.create_index(
        "ix_offers_buyer_lead_id",
        "offers",
        ["buyer_id", "buyer_lead_id"],
        sqlite_where=sa.text("buyer_lead_id IS NOT NULL"),
        postgresql_where=sa.text("buyer_lead_id IS NOT NULL"),
    )
    op.create_table(
        "refused_postbacks",
        sa.Column("buyer_id", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("buyer_id", "lead_id", "status", "code", name=op.f("pk_refused_postbacks")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_refused_postbacks_last_at_ms", "refused_postbacks", ["last_at_ms"])
