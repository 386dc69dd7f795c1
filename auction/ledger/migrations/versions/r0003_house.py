"""Who this ledger is, and which counters are traded on with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0004"


def upgrade() -> None:
    """Creates the one-row table `house`."""
    op.create_table(
        "house",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("house_id", sa.Text(), nullable=False),
        sa.Column("made_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("counters_id", sa.Text(), nullable=True),
        sa.Column("counters_where", sa.Text(), nullable=True),
        sa.Column("counters_seen_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("one = 1", name=op.f("ck_house_one")),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_house")),
    )
