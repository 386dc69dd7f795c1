"""What workers may have leased of caps on pings, by window: the sum that the counters are rebuilt from.

Plain functions on a connection. A row is one process's own, so no two workers ever wait for each other's row; it may
be below 0 for a while (its earlier pings are in the folded row), only the sum over all rows of a window means anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from auction.ledger.schema import ping_leases
from auction.ledger.statement import Statement
from auction.market.windows import FOREVER_MS
from auction.ping_leases import PingLease

FOLDED: Final = ""
"""The worker of rows that were folded: those of windows that never end, of processes that are gone."""


def _add(insert: Any) -> Any:
    made = insert(ping_leases).values(
        {
            name: bindparam(name)
            for name in ("buyer_id", "cap", "start_ms", "worker", "end_ms", "pings", "at_ms")
        }
    )
    summed = {"pings": ping_leases.c.pings + made.excluded.pings, "at_ms": made.excluded.at_ms}
    return made.on_conflict_do_update(index_elements=["buyer_id", "cap", "start_ms", "worker"], set_=summed)


_ADD = Statement(_add(sqlite.insert), on_postgresql=_add(postgresql.insert))
_KEY = (ping_leases.c.buyer_id, ping_leases.c.cap, ping_leases.c.start_ms, ping_leases.c.worker)
_SUMS = (
    select(
        ping_leases.c.buyer_id,
        ping_leases.c.cap,
        ping_leases.c.start_ms,
        func.max(ping_leases.c.end_ms).label("end_ms"),
        func.sum(ping_leases.c.pings).label("pings"),
    )
    .where(
        ping_leases.c.buyer_id.in_(bindparam("ids", expanding=True)),
        ping_leases.c.end_ms > bindparam("after_ms"),
    )
    .group_by(ping_leases.c.buyer_id, ping_leases.c.cap, ping_leases.c.start_ms)
)
_OVER = select(*_KEY).where(ping_leases.c.end_ms < bindparam("before_ms")).limit(bindparam("most"))
_IDLE = (
    select(*_KEY)
    .where(
        ping_leases.c.end_ms >= FOREVER_MS,
        ping_leases.c.worker != FOLDED,
        ping_leases.c.at_ms < bindparam("before_ms"),
    )
    .limit(bindparam("most"))
)


def add_leases(conn: Connection, worker: str, leases: Sequence[PingLease], at_ms: int) -> None:
    """Adds these pings to the rows of one process; below 0 they are taken off."""
    _ADD.each(conn, [_row(worker, lease, at_ms) for lease in leases])


def leased_pings(conn: Connection, buyer_ids: Sequence[str], after_ms: int) -> list[PingLease]:
    """What all processes together may have leased of these buyers' caps (and their orders'), in each window that ends
    after `after_ms`. One statement for up to `MOST_OWNERS` buyers."""
    rows = conn.execute(_SUMS, {"ids": list(buyer_ids), "after_ms": after_ms})
    # PostgreSQL adds up to a NUMERIC
    return [PingLease(row.buyer_id, row.cap, row.start_ms, row.end_ms, int(row.pings)) for row in rows]


def drop_old_leases(conn: Connection, before_ms: int, most: int) -> int:
    """Drops rows of windows that ended before, at most so many: how many."""
    keys = [tuple(row) for row in conn.execute(_OVER, {"before_ms": before_ms, "most": most})]
    if keys:
        conn.execute(delete(ping_leases).where(tuple_(*_KEY).in_(keys)))
    return len(keys)


def fold_old_leases(conn: Connection, before_ms: int, most: int) -> int:
    """Makes one row of those, of a window that never ends, that were not written since `before_ms`: how many went.

    A process that lives after all begins a new row: the sum stays what it was.
    """
    folded = 0
    for row in conn.execute(_IDLE, {"before_ms": before_ms, "most": most}).all():
        key = [column == value for column, value in zip(_KEY, row, strict=True)]
        gone = conn.execute(
            delete(ping_leases)
            .where(*key, ping_leases.c.at_ms < before_ms)
            .returning(ping_leases.c.pings, ping_leases.c.end_ms, ping_leases.c.at_ms)
        ).first()
        if gone is not None:
            lease = PingLease(row.buyer_id, row.cap, row.start_ms, gone.end_ms, gone.pings)
            add_leases(conn, FOLDED, [lease], gone.at_ms)
            folded += 1
    return folded


def _row(worker: str, lease: PingLease, at_ms: int) -> dict[str, Any]:
    return {
        "buyer_id": lease.buyer_id,
        "cap": lease.cap_key,
        "start_ms": lease.start_ms,
        "worker": worker,
        "end_ms": lease.end_ms,
        "pings": lease.pings,
        "at_ms": at_ms,
    }
