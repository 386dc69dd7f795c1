"""What workers lease of caps on pings: the counters are rebuilt from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0016"


def upgrade() -> None:
    """Adds `ping_leases`: a row for each cap's window and each process."""
    op.create_table(
        "ping_leases",
        sa.Column("buyer_id", sa.Text(), nullable=False),
        sa.Column("cap", sa.Text(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("pings", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("buyer_id", "cap", "start_ms", "worker", name=op.f("pk_ping_leases")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_ping_leases_end_ms", "ping_leases", ["end_ms"])
