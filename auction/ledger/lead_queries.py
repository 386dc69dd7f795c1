"""Leads as they stand: what the ledger knows of one."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, bindparam, select

from auction.ledger.records import Lead, Moment, Offer, Sale
from auction.ledger.schema import lead_history, lead_keys, leads, offers, sales

UNSETTLED: Final = ("received", "offered", "pending")
"""Leads that somebody has to finish (`takeover`), or to settle."""

_LEAD = select(leads).where(leads.c.lead_id == bindparam("lead_id"))
_LOCK = select(leads.c.lead_id).where(leads.c.lead_id == bindparam("lead_id")).with_for_update()
_LEAD_BY_PING = select(leads).where(leads.c.ping_id == bindparam("ping_id"))
_LEAD_BY_KEY = (
    select(leads)
    .join(lead_keys, lead_keys.c.lead_id == leads.c.lead_id)
    .where(lead_keys.c.keyed == bindparam("keyed"))
)
_OFFERS = select(offers).where(offers.c.lead_id == bindparam("lead_id")).order_by(offers.c.seq)
_SALES = select(sales).where(sales.c.lead_id == bindparam("lead_id")).order_by(sales.c.place)
_HISTORY = (
    select(lead_history.c.seq, lead_history.c.at_ms, lead_history.c.state, lead_history.c.detail)
    .where(lead_history.c.lead_id == bindparam("lead_id"))
    .order_by(lead_history.c.seq)
)


def find_lead(conn: Connection, lead_id: str) -> Lead | None:
    """The lead with this id."""
    return _one_lead(conn.execute(_LEAD, {"lead_id": lead_id}).mappings().first())


def lock_lead(conn: Connection, lead_id: str) -> None:
    """Whoever else writes to this lead waits until we are done. (SQLite has one writer as it is.)"""
    conn.execute(_LOCK, {"lead_id": lead_id})


def find_lead_by_ping(conn: Connection, ping_id: str) -> Lead | None:
    """The lead that was posted against this ping."""
    return _one_lead(conn.execute(_LEAD_BY_PING, {"ping_id": ping_id}).mappings().first())


def find_lead_by_key(conn: Connection, keyed: str) -> Lead | None:
    """The lead of the request whose key makes it `keyed`: sold by the ping of this id, or by an earlier one."""
    found = find_lead_by_ping(conn, keyed)
    return found or _one_lead(conn.execute(_LEAD_BY_KEY, {"keyed": keyed}).mappings().first())


def offers_of(conn: Connection, lead_id: str) -> list[Offer]:
    """The offers of a lead, in the order they were sent."""
    return [Offer(**row) for row in conn.execute(_OFFERS, {"lead_id": lead_id}).mappings()]


def sales_of(conn: Connection, lead_id: str) -> list[Sale]:
    """The sales of a lead, by place."""
    return [Sale(**row) for row in conn.execute(_SALES, {"lead_id": lead_id}).mappings()]


def lead_history_of(conn: Connection, lead_id: str) -> list[Moment]:
    """Every move of a lead, first to last."""
    return [
        Moment(seq=row.seq, at_ms=row.at_ms, state=row.state, detail=msgspec.json.decode(row.detail))
        for row in conn.execute(_HISTORY, {"lead_id": lead_id})
    ]


def _one_lead(row: Any) -> Lead | None:
    if row is None:
        return None
    return Lead(**{**row, "ping_fields": msgspec.json.decode(row["ping_fields"])})
