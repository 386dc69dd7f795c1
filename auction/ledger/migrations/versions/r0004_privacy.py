"""Privacy: look-ups of people for `forget`, the record of erasures, the house's own keys, chores of one worker."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0006"


def upgrade() -> None:
    """Creates four tables, and an index of the leads that are not forgotten."""
    op.create_index(
        "ix_leads_not_forgotten",
        "leads",
        ["created_at_ms"],
        unique=False,
        sqlite_where=sa.text("length(sealed) > 0"),
        postgresql_where=sa.text("length(sealed) > 0"),
    )
    op.create_table(
        "people",
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_people_lead_id")),
        sa.PrimaryKeyConstraint("hash", "lead_id", name=op.f("pk_people")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_people_lead_id"), "people", ["lead_id"], unique=False)
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=False),
        sa.Column("leads", sa.Integer(), nullable=False),
        sa.Column("pings", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
    )
    op.create_table(
        "house_keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("made_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_house_keys")),
    )
    op.create_table(
        "chores",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chores")),
    )
