"""What was sold to orders and buyers since a window began: what their caps have to count.

An offer that may still turn out to be a sale counts too, as its place in the caps is kept until that is known.
(Not so an unanswered one of a shared lead that others bought: the ledger calls that lead sold.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import CompoundSelect, Connection, Select, bindparam, func, literal_column, select, union_all

from auction.ledger.lead_queries import UNSETTLED
from auction.ledger.schema import leads, offers, sales

Owner = Literal["order", "buyer"]

MOST_OWNERS: Final = 1_000
"""The most owners of one question: a database takes only so many parameters."""


class Sold(msgspec.Struct, frozen=True):
    """What one owner bought, and may have bought."""

    leads: int
    micros: int


def sold_since(conn: Connection, owner: Owner, ids: Sequence[str], since_ms: int) -> dict[str, Sold]:
    """By id, what each of these orders (or buyers) was offered and sold since `since_ms`, that instant included.

    Whoever bought nothing is not in it; test leads are not either. One statement for up to `MOST_OWNERS` ids.
    """
    assert len(ids) <= MOST_OWNERS, f"{len(ids)} owners in one question"
    rows = conn.execute(_SOLD[owner], {"ids": list(ids), "since_ms": since_ms})
    return {row.owner: Sold(row.leads, int(row.micros)) for row in rows}  # PostgreSQL adds up to a NUMERIC


def _since(owner: str) -> Select[Any]:
    """One index per kind of owner: (order_id, offered_at_ms) and (buyer_id, offered_at_ms)."""
    asked = sales.c[owner].in_(bindparam("ids", expanding=True))
    return select(sales.c[owner].label("owner"), sales.c.price_micros).where(
        asked, sales.c.offered_at_ms >= bindparam("since_ms"), sales.c.test.is_(False)
    )


def _open(owner: str) -> Select[Any]:
    """Found by the leads that are not settled, which are few: their states are written out as in that index."""
    return (
        select(offers.c[owner].label("owner"), offers.c.price_micros)
        .join(leads, leads.c.lead_id == offers.c.lead_id)
        .where(
            leads.c.state.in_([literal_column(f"'{state}'") for state in UNSETTLED]),
            leads.c.state != literal_column("'received'"),
            leads.c.test.is_(False),
            offers.c.state.in_([literal_column("'sent'"), literal_column("'unknown'")]),
            offers.c.sent_at_ms >= bindparam("since_ms"),
            offers.c[owner].in_(bindparam("ids", expanding=True)),
        )
    )


def _sold(owner: str) -> Select[Any]:
    both: CompoundSelect[Any] = union_all(_since(owner), _open(owner))
    each = both.subquery()
    return select(
        each.c.owner, func.count().label("leads"), func.sum(each.c.price_micros).label("micros")
    ).group_by(each.c.owner)


_SOLD: Final[dict[Owner, Select[Any]]] = {"order": _sold("order_id"), "buyer": _sold("buyer_id")}
