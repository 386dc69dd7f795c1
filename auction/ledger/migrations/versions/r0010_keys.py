"""Keys of buyers and of operators beside those of sellers: one table for all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0003"


def upgrade() -> None:
    """Moves `seller_keys` into `api_keys`, where each key says what its holder is."""
    op.create_table(
        "api_keys",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('seller', 'buyer', 'admin')", name=op.f("ck_api_keys_kind")),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_api_keys")),
    )
    op.create_index("ix_api_keys_kind_holder", "api_keys", ["kind", "holder"])
    op.execute(
        "INSERT INTO api_keys (hash, kind, holder, created_at_ms, revoked_at_ms)"
        " SELECT hash, 'seller', seller, created_at_ms, revoked_at_ms FROM seller_keys"
    )
    op.drop_table("seller_keys")
