"""The outbox: moves of leads that sellers are told, and how that went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0010"


def upgrade() -> None:
    """Creates two tables."""
    op.create_table(
        "outbox",
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("payout_micros", sa.BigInteger(), nullable=False),
        sa.Column("addressed_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_outbox_lead_id")),
        sa.PrimaryKeyConstraint("lead_id", "seq", name=op.f("pk_outbox")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_outbox_at_ms", "outbox", ["at_ms"])
    _partial("ix_outbox_new", "outbox", ["at_ms"], "addressed_at_ms IS NULL")
    op.create_table(
        "postbacks",
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('behind', 'waiting', 'delivered', 'given_up')", name=op.f("ck_postbacks_state")
        ),
        sa.ForeignKeyConstraint(
            ["lead_id", "seq"], ["outbox.lead_id", "outbox.seq"], name=op.f("fk_postbacks_lead_id_seq")
        ),
        sa.PrimaryKeyConstraint("lead_id", "seq", "endpoint", name=op.f("pk_postbacks")),
        sqlite_with_rowid=False,
    )
    unfinished = "state IN ('behind', 'waiting')"
    _partial("ix_postbacks_unfinished", "postbacks", ["endpoint", "next_at_ms"], unfinished)
    _partial("ix_postbacks_given_up", "postbacks", ["last_at_ms"], "state = 'given_up'")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
