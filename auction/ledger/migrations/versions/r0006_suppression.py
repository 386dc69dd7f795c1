"""Suppression lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0002"


def upgrade() -> None:
    """Creates the lists and their runs."""
    op.create_table(
        "suppression_lists",
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("drafted", sa.Integer(), nullable=False),
        sa.Column("form", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("form IN ('sha256', 'md5')", name=op.f("ck_suppression_lists_form")),
        sa.PrimaryKeyConstraint("list_id", name=op.f("pk_suppression_lists")),
    )
    op.create_table(
        "suppression_runs",
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("prints", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["list_id"], ["suppression_lists.list_id"], name=op.f("fk_suppression_runs_list_id")
        ),
        sa.PrimaryKeyConstraint("list_id", "version", "bucket", name=op.f("pk_suppression_runs")),
    )
