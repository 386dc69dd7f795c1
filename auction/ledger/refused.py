"""Postbacks that were refused, kept for the operator: what was told of which lead, and why it could not be."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from auction.ledger.engine import is_postgresql
from auction.ledger.records import RefusedPostback
from auction.ledger.schema import refused_postbacks as refused

_KEY: Final = ("buyer_id", "lead_id", "status", "code")
_LATEST = select(refused).order_by(refused.c.last_at_ms.desc()).limit(bindparam("most"))
_OLD = (
    select(*(refused.c[name] for name in _KEY))
    .where(refused.c.last_at_ms < bindparam("before_ms"))
    .order_by(refused.c.last_at_ms)
    .limit(bindparam("most"))
)
_DROP = delete(refused).where(*(refused.c[name] == bindparam(f"of_{name}") for name in _KEY))


def keep_refused(conn: Connection, told: RefusedPostback) -> None:
    """Keeps it; the same again is one more time in the row that is there."""
    make: Any = postgresql.insert if is_postgresql(conn) else sqlite.insert
    row = {name: getattr(told, name) for name in told.__struct_fields__}
    written = make(refused).values(row)
    again = {
        "times": refused.c.times + written.excluded.times,
        "last_at_ms": written.excluded.last_at_ms,
        "order_id": written.excluded.order_id,
    }
    conn.execute(written.on_conflict_do_update(index_elements=_KEY, set_=again))


def latest_refused(conn: Connection, most: int, buyer_id: str | None = None) -> list[RefusedPostback]:
    """The latest first; of one buyer, or of all."""
    asked = _LATEST if buyer_id is None else _LATEST.where(refused.c.buyer_id == buyer_id)
    return [RefusedPostback(**row) for row in conn.execute(asked, {"most": most}).mappings()]


def drop_old_refused(conn: Connection, before_ms: int, most: int) -> int:
    """Drops those that were last told before, oldest first; how many."""
    old = conn.execute(_OLD, {"before_ms": before_ms, "most": most}).all()
    if old:
        conn.execute(_DROP, [{f"of_{name}": getattr(row, name) for name in _KEY} for row in old])
    return len(old)
