"""Leads that wait for a buyer: one more state of a lead, and when each is tried again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"

_BEFORE = "'returned', 'converted', 'delivered')"
_NOW = "'returned', 'converted', 'delivered', 'waiting')"


def upgrade() -> None:
    """A lead may be `waiting`; `waits` has those that are."""
    conn = op.get_bind()
    if conn.dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_leads_state"), "leads", type_="check")
        states = f"state IN ('received', 'offered', 'sold', 'rejected', 'pending', {_NOW}"
        op.create_check_constraint(op.f("ck_leads_state"), "leads", states)
    else:
        _let_sqlite_know(conn)
    op.create_table(
        "waits",
        sa.Column("lead_id", sa.Text(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tried_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_waits_lead_id")),
        sa.PrimaryKeyConstraint("lead_id", name=op.f("pk_waits")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_waits_next_at_ms", "waits", ["next_at_ms"])


def _let_sqlite_know(conn: sa.Connection) -> None:
    """SQLite cannot change a CHECK. To copy the table would take a large ledger long; this is how its authors do it
    for a change that leaves what is stored as it is (sqlite.org/lang_altertable.html, section 7)."""
    (version,) = conn.exec_driver_sql("PRAGMA schema_version").one()
    conn.exec_driver_sql("PRAGMA writable_schema = ON")
    changed = conn.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?)"
        " WHERE type = 'table' AND name = 'leads' AND instr(sql, ?) > 0",
        (_BEFORE, _NOW, _BEFORE),
    )
    assert changed.rowcount == 1, "the table of leads is not the one that was made"
    conn.exec_driver_sql(f"PRAGMA schema_version = {int(version) + 1}")
    conn.exec_driver_sql("PRAGMA writable_schema = RESET")
