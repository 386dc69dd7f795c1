"""The later life of a sale in the ledger: what its buyer told of it, and how much an order has returned.

Plain functions on a connection, parts of one transaction: the lead is locked before (`lock_lead`), and its move is
written with them (`leads.settle`).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, Integer, bindparam, func, select, text, update

from auction.ledger.engine import is_postgresql
from auction.ledger.faults import ImpossibleMove
from auction.ledger.records import Sale
from auction.ledger.schema import leads, offers, sales
from auction.ledger.sold import MOST_OWNERS

_SALE = (sales.c.lead_id == bindparam("of_lead"), sales.c.order_id == bindparam("of_order"))
_STANDS = (*_SALE, sales.c.returned_at_ms.is_(None))
_CHANGES: Final = {
    "deliver": update(sales)
    .where(*_STANDS, sales.c.delivered_at_ms.is_(None))
    .values(delivered_at_ms=bindparam("at_ms")),
    "convert": update(sales)
    .where(*_STANDS, sales.c.value_micros.is_(None))
    .values(
        converted_at_ms=func.coalesce(sales.c.converted_at_ms, bindparam("at_ms")),
        value_micros=bindparam("value"),
    ),
    "return": update(sales)
    .where(*_STANDS)
    .values(
        returned_at_ms=bindparam("at_ms"), return_reason=bindparam("reason"), cap_freed=bindparam("freed")
    ),
}
_KNOWN_AS = (
    select(offers.c.lead_id)
    .where(offers.c.buyer_id == bindparam("buyer_id"), offers.c.buyer_lead_id == bindparam("known_as"))
    .limit(2)
)
_BOUGHT_BY = (
    sales.c.order_id == bindparam("order_id"),
    sales.c.offered_at_ms >= bindparam("since_ms"),
    sales.c.test.is_(False),
)
_RETURNED = select(func.count()).where(*_BOUGHT_BY, sales.c.returned_at_ms.is_not(None))
_BOUGHT = select(func.count()).select_from(
    select(sales.c.lead_id).where(*_BOUGHT_BY).limit(bindparam("needed", type_=Integer)).subquery()
)
_LOCK: Final = select(func.pg_advisory_xact_lock(bindparam("key")))
_FREED = (
    select(
        leads.c.ping_id,
        sales.c.order_id,
        sales.c.buyer_id,
        sales.c.price_micros,
        sales.c.offered_at_ms.label("sent_at_ms"),
        sales.c.returned_at_ms,
    )
    .join(leads, leads.c.lead_id == sales.c.lead_id)
    .where(
        text("sales.cap_freed"),  # written as it stands in the partial index
        sales.c.buyer_id.in_(bindparam("ids", expanding=True)),
        sales.c.returned_at_ms >= bindparam("since_ms"),
        sales.c.test.is_(False),
    )
)


class Freed(msgspec.Struct, frozen=True):
    """A sale that was returned, and does not count in the caps any more. `sent_at_ms`: when it was offered."""

    ping_id: str
    order_id: str
    buyer_id: str
    price_micros: int
    sent_at_ms: int
    returned_at_ms: int


def tell_sale(
    conn: Connection,
    sale: Sale,
    what: Literal["deliver", "convert", "return"],
    at_ms: int,
    *,
    value_micros: int | None = None,
    reason: str | None = None,
    cap_freed: bool = False,
) -> None:
    """Writes into a sale what was told of it. Raises `ImpossibleMove` if that was told before, or it was returned."""
    row: dict[str, Any] = {"of_lead": sale.lead_id, "of_order": sale.order_id, "at_ms": at_ms}
    if what == "convert":
        row["value"] = value_micros
    elif what == "return":
        row |= {"reason": reason, "freed": cap_freed}
    if conn.execute(_CHANGES[what], row).rowcount != 1:
        raise ImpossibleMove(sale.lead_id, "told of already", what)


def leads_known_as(conn: Connection, buyer_id: str, buyer_lead_id: str) -> list[str]:
    """The leads of which this buyer told this id of its own; two at most, as one is meant."""
    found = conn.execute(_KNOWN_AS, {"buyer_id": buyer_id, "known_as": buyer_lead_id})
    return [str(lead_id) for lead_id in found.scalars()]


def lock_returns(conn: Connection, order_id: str) -> None:
    """Nobody else returns a lead of this order until we are done. (SQLite has one writer as it is.)"""
    if is_postgresql(conn):
        digest = blake2b(f"returns:{order_id}".encode(), digest_size=8).digest()
        conn.execute(_LOCK, {"key": int.from_bytes(digest, "big", signed=True)})


def returned_since(conn: Connection, order_id: str, since_ms: int) -> int:
    """How many of the leads that this order was offered since then, and bought, were returned. No tests."""
    return int(conn.execute(_RETURNED, {"order_id": order_id, "since_ms": since_ms}).scalar_one())


def bought_at_least(conn: Connection, order_id: str, since_ms: int, needed: int) -> bool:
    """Whether this order bought so many of the leads that it was offered since then. Looks at no more. No tests."""
    asked = {"order_id": order_id, "since_ms": since_ms, "needed": needed}
    return int(conn.execute(_BOUGHT, asked).scalar_one()) >= needed


def freed_since(conn: Connection, buyer_ids: Sequence[str], since_ms: int) -> list[Freed]:
    """What these buyers returned since then that is not to count in the caps."""
    assert len(buyer_ids) <= MOST_OWNERS, f"{len(buyer_ids)} buyers in one question"
    rows = conn.execute(_FREED, {"ids": list(buyer_ids), "since_ms": since_ms})
    return [Freed(**row._mapping) for row in rows]
