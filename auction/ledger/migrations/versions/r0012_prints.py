"""What a lead is known by is found by the lead: when it is taken back, forgotten, or sold later."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Creates an index."""
    op.create_index("ix_fingerprints_lead_id", "fingerprints", ["lead_id"], unique=False)
