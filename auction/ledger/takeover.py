"""Leads whose worker has ended, and how another takes them over: one by one, and each by one worker alone."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)

from auction.ledger.lead_queries import UNSETTLED
from auction.ledger.records import Stray, UnknownOffer
from auction.ledger.schema import lead_history, leads, offers, workers

MOST_STRAYS: Final = 256
"""How many leads one question brings: a worker that has finished those asks again."""

_live = select(workers.c.id).where(workers.c.fenced.is_(False))
_IN_HAND = (
    # the states of the partial index, written out as it has them, and then those that somebody has in hand
    leads.c.state.in_([literal_column(f"'{state}'") for state in UNSETTLED]),
    leads.c.state != literal_column("'pending'"),
)
_STRAYS = (
    select(leads.c.lead_id, leads.c.worker)
    .where(*_IN_HAND, leads.c.worker.not_in(_live))
    .order_by(leads.c.updated_at_ms)
    .limit(bindparam("most"))
)
_OF_WORKER = (
    select(leads.c.lead_id, leads.c.worker)
    .where(*_IN_HAND, leads.c.worker == bindparam("worker"), leads.c.updated_at_ms < bindparam("before_ms"))
    .order_by(leads.c.updated_at_ms)
    .limit(bindparam("most"))
)
_TAKE_OVER = (
    update(leads)
    .where(
        leads.c.lead_id == bindparam("key"),
        leads.c.state.in_(("received", "offered")),
        leads.c.worker == bindparam("of_worker"),
        exists().where(workers.c.id == bindparam("to_worker"), workers.c.fenced.is_(False)),
    )
    .values(worker=bindparam("to_worker"), state="offered", updated_at_ms=bindparam("at_ms"))
)
_FORGET = delete(workers).where(
    workers.c.fenced.is_(True), ~exists().where(*_IN_HAND, leads.c.worker == workers.c.id)
)
_HISTORY = insert(lead_history).values(
    lead_id=bindparam("lead_id"),
    seq=select(func.coalesce(func.max(lead_history.c.seq), 0) + 1)
    .where(lead_history.c.lead_id == bindparam("lead_id"))
    .scalar_subquery(),
    at_ms=bindparam("at_ms"),
    state="offered",
    detail=bindparam("detail"),
)


def _unknown() -> Select[Any]:
    of_lead = ("lead_id", "ping_id", "campaign", "seller", "state", "test")
    of_offer = ("order_id", "buyer_id", "price_micros", "sent_at_ms", "reason")
    return (
        select(*(leads.c[name] for name in of_lead), *(offers.c[name] for name in of_offer))
        .join(leads, leads.c.lead_id == offers.c.lead_id)
        .where(offers.c.state == literal_column("'unknown'"))
        .order_by(offers.c.sent_at_ms)
        .limit(bindparam("most"))
    )


_UNKNOWN = _unknown()
_COUNT_UNKNOWN = select(func.count()).where(offers.c.state == literal_column("'unknown'"))
_COUNT_PENDING = select(func.count()).where(
    leads.c.state.in_([literal_column(f"'{state}'") for state in UNSETTLED]),
    leads.c.state == literal_column("'pending'"),
)


def stray_leads(conn: Connection, most: int = MOST_STRAYS) -> list[Stray]:
    """Leads in the hands of workers that are fenced or gone, those first that were touched longest ago."""
    return [Stray(**row) for row in conn.execute(_STRAYS, {"most": most}).mappings()]


def leads_in_hand(conn: Connection, worker: str, before_ms: int, most: int = MOST_STRAYS) -> list[Stray]:
    """A worker's own leads that were not touched since `before_ms`."""
    known = {"worker": worker, "before_ms": before_ms, "most": most}
    return [Stray(**row) for row in conn.execute(_OF_WORKER, known).mappings()]


def take_over(conn: Connection, stray: Stray, worker: str, at_ms: int) -> bool:
    """The lead is `worker`'s from now on, and whatever its old one still wants to write of it is refused.

    False if it is settled, or another's by now, or `worker` was fenced itself.
    """
    known = {"key": stray.lead_id, "of_worker": stray.worker, "to_worker": worker, "at_ms": at_ms}
    if conn.execute(_TAKE_OVER, known).rowcount != 1:
        return False
    detail = msgspec.json.encode({"taken_over_from": stray.worker}).decode()
    conn.execute(_HISTORY, {"lead_id": stray.lead_id, "at_ms": at_ms, "detail": detail})
    return True


def forget_fenced(conn: Connection) -> int:
    """Drops the rows of fenced workers that left no lead behind; says how many."""
    return conn.execute(_FORGET).rowcount


def unknown_offers(conn: Connection, most: int) -> list[UnknownOffer]:
    """Offers that somebody has to settle, the oldest first: those of pending leads, and of shared leads that others
    bought."""
    return [UnknownOffer(**row) for row in conn.execute(_UNKNOWN, {"most": most}).mappings()]


def count_unsettled(conn: Connection) -> tuple[int, int]:
    """How many leads are pending, and how many offers unknown."""
    pending, unknown = conn.execute(_COUNT_PENDING).scalar_one(), conn.execute(_COUNT_UNKNOWN).scalar_one()
    return int(pending), int(unknown)
