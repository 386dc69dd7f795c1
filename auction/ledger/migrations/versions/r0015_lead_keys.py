"""Leads by the key of their request, where they may be sold by the offer of an earlier ping."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0009"


def upgrade() -> None:
    """`lead_keys`: one lead for each key."""
    op.create_table(
        "lead_keys",
        sa.Column("keyed", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_lead_keys_lead_id")),
        sa.PrimaryKeyConstraint("keyed", name=op.f("pk_lead_keys")),
        sa.UniqueConstraint("lead_id", name=op.f("uq_lead_keys_lead_id")),
        sqlite_with_rowid=False,
    )
