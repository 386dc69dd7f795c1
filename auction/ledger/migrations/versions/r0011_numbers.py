"""Entries of the catalogue have numbers where a door's document numbers them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0008"


def upgrade() -> None:
    """Adds `numbers`: an entry's number, given once and for ever."""
    op.create_table(
        "numbers",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", name=op.f("pk_numbers")),
        sa.UniqueConstraint("kind", "number", name=op.f("uq_numbers_kind_number")),
        sqlite_with_rowid=False,
    )
