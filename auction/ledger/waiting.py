"""Leads that wait for a buyer: when each is tried again, and its moves out of that state and back into it.

Plain functions on a connection, each one transaction's worth of work. A lead leaves `waiting` by one conditional write,
so of several that would offer it one does (P1).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, update

from auction.ledger.duplicates import repeated_orders
from auction.ledger.history import append_history
from auction.ledger.leads import settle
from auction.ledger.offers import insert_offers
from auction.ledger.records import Due, NewLead, NewOffer, Settlement, WaitingLead
from auction.ledger.schema import leads, offers, waits

_BEGIN = insert(waits)
_END = delete(waits).where(waits.c.lead_id == bindparam("key"))
_DUE = (
    select(waits.c.lead_id, waits.c.tries, waits.c.next_at_ms, waits.c.until_ms)
    .where(waits.c.next_at_ms <= bindparam("now_ms"))
    .order_by(waits.c.next_at_ms)
    .limit(bindparam("most"))
)
_ANY_DUE = select(waits.c.lead_id).where(waits.c.next_at_ms <= bindparam("now_ms")).limit(1)
_TRY = (
    update(waits)
    .where(waits.c.lead_id == bindparam("key"), waits.c.next_at_ms == bindparam("seen_ms"))
    .values(tries=bindparam("to_tries"), tried_at_ms=bindparam("now_ms"), next_at_ms=bindparam("to_next_ms"))
)
_SOONEST: Final = waits.c.tried_at_ms + bindparam("apart_ms", type_=waits.c.tried_at_ms.type)
_NOW: Final = bindparam("now_ms", type_=waits.c.next_at_ms.type)
_HASTEN = (
    update(waits)
    .where(
        waits.c.campaign.in_(bindparam("campaigns", expanding=True)),
        waits.c.next_at_ms > _NOW,
        waits.c.next_at_ms > _SOONEST,
    )
    .values(next_at_ms=case((_SOONEST > _NOW, _SOONEST), else_=_NOW))
)
_AT_ONCE = update(waits).where(waits.c.lead_id == bindparam("key")).values(next_at_ms=0)
_COUNT = select(func.count()).select_from(waits)
_LIST = (
    select(
        waits.c.lead_id,
        waits.c.campaign,
        leads.c.seller,
        leads.c.created_at_ms,
        waits.c.tries,
        waits.c.next_at_ms,
        waits.c.until_ms,
        leads.c.test,
    )
    .join(leads, leads.c.lead_id == waits.c.lead_id)
    .order_by(waits.c.lead_id)  # ids grow with time
    .limit(bindparam("most"))
)
_OFFER = (
    update(leads)
    .where(
        leads.c.lead_id == bindparam("key"),
        leads.c.state == "waiting",
        func.length(leads.c.sealed) > 0,  # it was not forgotten meanwhile
    )
    .values(
        state="offered",
        worker=bindparam("to_worker"),
        plan=bindparam("to_plan"),
        updated_at_ms=bindparam("at_ms"),
    )
)
_WAIT = (
    update(leads)
    .where(
        leads.c.lead_id == bindparam("key"),
        leads.c.state == "offered",
        leads.c.worker == bindparam("of_worker"),
        leads.c.updated_at_ms == bindparam("at_ms"),  # of this very intent, and not of a later turn's
    )
    .values(state="waiting")
)
_NO_OFFERS = delete(offers).where(offers.c.lead_id == bindparam("key"))


def begin_wait(
    conn: Connection, lead_id: str, campaign: str, now_ms: int, next_at_ms: int, until_ms: int
) -> None:
    """A lead that is `waiting` now is to be tried again."""
    row = {"lead_id": lead_id, "campaign": campaign, "tries": 0, "tried_at_ms": now_ms}
    conn.execute(_BEGIN, {**row, "next_at_ms": next_at_ms, "until_ms": until_ms})


def end_wait(conn: Connection, lead_id: str) -> None:
    """The lead is not tried again; no harm where it does not wait."""
    conn.execute(_END, {"key": lead_id})


def any_due(conn: Connection, now_ms: int) -> bool:
    """Whether it is some lead's turn."""
    return conn.execute(_ANY_DUE, {"now_ms": now_ms}).first() is not None


def take_due(conn: Connection, now_ms: int, most: int, wait_ms: Callable[[int], int]) -> list[Due]:
    """The leads whose turn it is, longest overdue first, each the caller's alone till its next turn.

    That is `wait_ms(tries)` from now, and no later than its time is over. Whoever dies over it leaves it to that turn.
    """
    due = []
    for row in conn.execute(_DUE, {"now_ms": now_ms, "most": most}).all():
        tries = row.tries + 1
        next_ms = now_ms + wait_ms(tries)
        if now_ms < row.until_ms:
            next_ms = min(next_ms, row.until_ms)
        known = {"key": row.lead_id, "seen_ms": row.next_at_ms, "now_ms": now_ms}
        if conn.execute(_TRY, {**known, "to_tries": tries, "to_next_ms": next_ms}).rowcount == 1:
            due.append(Due(lead_id=row.lead_id, tries=tries, next_at_ms=next_ms, until_ms=row.until_ms))
    return due


def hasten(conn: Connection, campaigns: Collection[str], now_ms: int, apart_ms: int) -> int:
    """The waiting leads of these campaigns have their turn now, but `apart_ms` after their last; says how many."""
    known: dict[str, Any] = {"campaigns": list(campaigns), "now_ms": now_ms, "apart_ms": apart_ms}
    return conn.execute(_HASTEN, known).rowcount


def hasten_one(conn: Connection, lead_id: str) -> None:
    """This lead has its turn at once, if it waits."""
    conn.execute(_AT_ONCE, {"key": lead_id})


def count_waiting(conn: Connection) -> int:
    """How many leads wait for a buyer."""
    return int(conn.execute(_COUNT).scalar_one())


def waiting_leads(conn: Connection, most: int, campaign: str | None = None) -> list[WaitingLead]:
    """The leads that wait for a buyer, of one campaign if it is named, the oldest first."""
    wanted = _LIST if campaign is None else _LIST.where(waits.c.campaign == campaign)
    return [WaitingLead(**row) for row in conn.execute(wanted, {"most": most}).mappings()]


def offer_waiting(
    conn: Connection, lead: NewLead, new_offers: Sequence[NewOffer], at_ms: int
) -> frozenset[str] | None:
    """A waiting lead is `offered` now, in this worker's hands, and the intent to send it to these is durable.

    Gives the orders among them that are not to be sent it, as they bought such a lead. None, and nothing is changed,
    if it does not wait any more, or was forgotten.
    """
    lead_id = lead.lead_id
    known = {"key": lead_id, "to_worker": lead.worker, "to_plan": lead.plan, "at_ms": at_ms}
    if conn.execute(_OFFER, known).rowcount != 1:
        return None
    end_wait(conn, lead_id)
    repeated = repeated_orders(conn, lead_id, lead.campaign, lead.test, at_ms, new_offers)
    insert_offers(conn, lead_id, 0, at_ms, new_offers, repeated)
    append_history(conn, lead_id, at_ms, "offered", {"orders": [offer.order_id for offer in new_offers]})
    return repeated


def wait_again(
    conn: Connection, lead_id: str, campaign: str, worker: str, at_ms: int, next_at_ms: int, until_ms: int
) -> bool:
    """Nothing of its offers left the house: the lead waits as before, and they are gone.

    Only the worker that wrote them (`at_ms`) may call this, and only before it sent anything. False, and nothing is
    changed, if the lead is not in its hands, or is in them by a later intent.
    """
    if conn.execute(_WAIT, {"key": lead_id, "of_worker": worker, "at_ms": at_ms}).rowcount != 1:
        return False
    conn.execute(_NO_OFFERS, {"key": lead_id})
    append_history(conn, lead_id, at_ms, "waiting", {"reason": "counters_unavailable"})
    begin_wait(conn, lead_id, campaign, at_ms, next_at_ms, until_ms)
    return True


def refuse_waiting(conn: Connection, settlement: Settlement) -> None:
    """A waiting lead is not tried again. Raises `ImpossibleMove` if it does not wait any more."""
    settle(conn, settlement)
    end_wait(conn, settlement.lead_id)
