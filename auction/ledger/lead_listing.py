"""Lists of leads for operators, and what was sold in sums: out of what names nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, case, func, not_, select

from auction.ledger.conditions import Asked, Found, Wanted, condition, found, where
from auction.ledger.schema import leads, sales

QUARTER_MS: Final = 900_000
"""Sums by time are made by the quarter of an hour: every time zone's days begin with one."""
MOST_GROUPS: Final = 50_000

_LINE: Final = (
    leads.c.lead_id,
    leads.c.ping_id,
    leads.c.seller,
    leads.c.campaign,
    leads.c.state,
    leads.c.reason,
    leads.c.payout_micros,
    leads.c.created_at_ms,
    leads.c.updated_at_ms,
    leads.c.sub_id,
    leads.c.test,
)
LINE_COLUMNS: Final = tuple(column.name for column in _LINE)
"""What a line of a list has out of the lead itself."""
_STANDING: Final = {"buyer": True, "returned_by": False}
"""By whom leads may be asked for, and whether the sale to it must stand."""


class LeadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A lead, who bought it, and who gave it back."""

    lead_id: str
    ping_id: str
    seller: str
    campaign: str
    state: str
    reason: str | None
    payout_micros: int
    created_at_ms: int
    updated_at_ms: int
    sub_id: str | None
    test: bool
    buyers: tuple[str, ...] = ()
    returned_by: tuple[str, ...] = ()


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """Sales with the same values in the columns of the group, and in the same quarter of an hour if that is asked.

    `sales` and amounts are of those that stand; `returned` is how many do not, of `credited_micros` in prices.
    """

    group: tuple[str, ...]
    quarter: int | None
    sales: int
    price_micros: int
    payout_micros: int
    margin_micros: int
    returned: int
    credited_micros: int


def list_leads(conn: Connection, asked: Asked) -> Found[LeadRow]:
    """Leads, the latest first. Asked for by their columns, and by `buyer`, to whom they are sold, and `returned_by`."""
    wanted = where(asked, dict(leads.c.items()), leads.c.created_at_ms)
    wanted += [_bought_by(one, _STANDING[one.column]) for one in asked.wanted if one.column in _STANDING]
    rows = select(*_LINE).where(*wanted).order_by(leads.c.lead_id.desc())
    page = found(conn, rows, asked, lambda row: LeadRow(**row))
    bought = _buyers_of(conn, [row.lead_id for row in page.rows])
    with_buyers = [
        msgspec.structs.replace(
            row,
            buyers=tuple(bought.get((row.lead_id, True), ())),
            returned_by=tuple(bought.get((row.lead_id, False), ())),
        )
        for row in page.rows
    ]
    return Found(page.total, with_buyers)


def sums(conn: Connection, asked: Asked, columns: Sequence[str], by_time: bool) -> list[Sum]:
    """What was sold, by these columns of `sales`; at most `MOST_GROUPS` + 1 of them."""
    groups = [sales.c[name] for name in columns]
    quarters = [(sales.c.sold_at_ms // QUARTER_MS).label("quarter")] if by_time else []
    stands = sales.c.returned_at_ms.is_(None)
    amounts = [
        func.sum(case((stands, sales.c[name]), else_=0)).label(name)
        for name in ("price_micros", "payout_micros", "margin_micros")
    ]
    amounts += [
        func.count(sales.c.returned_at_ms).label("returned"),
        func.sum(case((stands, 0), else_=sales.c.price_micros)).label("credited_micros"),
    ]
    rows = (
        select(*groups, *quarters, func.count().label("sales"), *amounts)
        .where(*where(asked, dict(sales.c.items()), sales.c.sold_at_ms))
        .group_by(*groups, *quarters)
        .limit(MOST_GROUPS + 1)
    )
    return [
        Sum(
            group=tuple(row[name] for name in columns),
            quarter=int(row["quarter"]) if by_time else None,
            sales=row["sales"] - row["returned"],
            price_micros=int(row["price_micros"] or 0),
            payout_micros=int(row["payout_micros"] or 0),
            margin_micros=int(row["margin_micros"] or 0),
            returned=row["returned"],
            credited_micros=int(row["credited_micros"] or 0),
        )
        for row in conn.execute(rows).mappings()
    ]


def _bought_by(one: Wanted, stands: bool) -> ColumnElement[bool]:
    """Null is a lead that has no such sale."""
    names = frozenset(value for value in one.values if value is not None)
    returned = sales.c.returned_at_ms
    of_lead = select(sales.c.lead_id).where(sales.c.lead_id == leads.c.lead_id)
    bought = of_lead.where(returned.is_(None) if stands else returned.is_not(None))
    meets: ColumnElement[bool] = bought.where(condition(sales.c.buyer_id, Wanted("buyer_id", names))).exists()
    if not names:
        meets = not_(bought.exists())
    elif None in one.values:
        meets = meets | not_(bought.exists())
    return not_(meets) if one.negated else meets


def _buyers_of(conn: Connection, lead_ids: Sequence[str]) -> dict[tuple[str, bool], list[str]]:
    """By lead, and whether the sale stands."""
    buyers: dict[tuple[str, bool], list[str]] = {}
    stands = sales.c.returned_at_ms.is_(None)
    rows: Any = select(sales.c.lead_id, sales.c.buyer_id, stands).where(sales.c.lead_id.in_(lead_ids))
    for lead_id, buyer, is_standing in conn.execute(rows.order_by(sales.c.lead_id, sales.c.place)):
        buyers.setdefault((lead_id, bool(is_standing)), []).append(buyer)
    return buyers
