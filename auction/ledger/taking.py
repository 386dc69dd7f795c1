"""How a lead comes into the ledger: the intent to sell it, durable before anything leaves the house; or taken back.

Plain functions on a connection, each one transaction's worth of work. They may be run twice (a batch that fails is
run again), so they read nothing but the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, exists, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from auction.ledger.duplicates import STANDING, find_duplicate, insert_prints, repeated_orders
from auction.ledger.faults import ImpossibleMove
from auction.ledger.history import begin_history
from auction.ledger.offers import insert_offers
from auction.ledger.records import AlreadyTaken, LeadState, NewLead, NewOffer, Refused, Taken, Unsold
from auction.ledger.schema import (
    fingerprints,
    lead_history,
    lead_keys,
    leads,
    offers,
    outbox,
    people,
    postbacks,
)
from auction.ledger.statement import Statement
from auction.ledger.waiting import begin_wait, end_wait

_encode = msgspec.json.encode

_LEAD_COLUMNS: dict[str, Any] = {
    column.name: bindparam(column.name) for column in leads.c if column.name != "places"
}
_INSERT_LEAD = Statement(  # the same words for both databases, but each has a construct of its own for them
    sqlite.insert(leads).values(_LEAD_COLUMNS).on_conflict_do_nothing(),
    on_postgresql=postgresql.insert(leads).values(_LEAD_COLUMNS).on_conflict_do_nothing(),
)
_INSERT_KEY = Statement(
    sqlite.insert(lead_keys).on_conflict_do_nothing(),
    on_postgresql=postgresql.insert(lead_keys).on_conflict_do_nothing(),
)
_INSERT_PERSON = Statement(insert(people))
_FOUND = select(
    leads.c.lead_id, leads.c.ping_id, leads.c.state, leads.c.reason, leads.c.answer, leads.c.body_hash
)
_TAKEN = _FOUND.where(leads.c.ping_id == bindparam("ping_id"))
_TAKEN_BY_KEY = _FOUND.join(lead_keys, lead_keys.c.lead_id == leads.c.lead_id).where(
    lead_keys.c.keyed == bindparam("keyed")
)
_NO_LEAD = delete(leads).where(leads.c.lead_id == bindparam("key"))
_STATE = select(leads.c.state).where(leads.c.lead_id == bindparam("lead_id"))
_IN_HAND = (
    select(leads.c.lead_id)
    .where(
        leads.c.lead_id == bindparam("lead_id"),
        leads.c.state.in_(("offered", "rejected")),
        leads.c.worker == bindparam("worker"),
    )
    .with_for_update()
)
_UNOFFERED = (
    select(leads.c.lead_id)
    .where(
        leads.c.lead_id == bindparam("key"),
        leads.c.state.in_(("waiting", "rejected")),
        ~exists().where(offers.c.lead_id == leads.c.lead_id),
    )
    .with_for_update()
)
_VOID = tuple(
    delete(table).where(table.c.lead_id == bindparam("key"))
    for table in (postbacks, outbox, lead_history, fingerprints, people, lead_keys, offers, leads)
)


def take_lead(
    conn: Connection, lead: NewLead, new_offers: Sequence[NewOffer]
) -> Taken | AlreadyTaken | Refused:
    """Takes a post in, with its first offers in state `sent`: the intent, before anything leaves the house.

    Of any number of takes of one ping, or of one key, exactly one is `Taken` (or `Refused`); all others are
    `AlreadyTaken` and change nothing.
    """
    why = _why_refused(conn, lead)
    state: LeadState = "rejected" if why else "offered"
    if not _let_in(conn, lead, _lead_row(lead, state, why.get("reason"))):
        return _already_taken(conn, lead)
    if why:
        begin_history(conn, lead.lead_id, lead.created_at_ms, state, why)
        return Refused(lead_id=lead.lead_id, reason=why["reason"], of_lead_id=why.get("of"))
    repeated = repeated_orders(conn, lead.lead_id, lead.campaign, lead.test, lead.created_at_ms, new_offers)
    insert_offers(conn, lead.lead_id, 0, lead.created_at_ms, new_offers, repeated)
    asked = {"orders": [offer.order_id for offer in new_offers]}
    begin_history(conn, lead.lead_id, lead.created_at_ms, state, asked)
    return Taken(lead_id=lead.lead_id, repeated=repeated)


def take_unsold(conn: Connection, lead: NewLead, unsold: Unsold) -> Taken | AlreadyTaken | Refused:
    """Takes a lead in for which nobody bid: `waiting` for a buyer, or rejected (`Refused`) where it is not to wait.

    A lead that is suppressed, or a duplicate, is `Refused` for that. Of any number of takes of one ping one counts.
    """
    why = _why_refused(conn, lead)
    answer = lead.refused_answer if why else unsold.answer
    if not why and unsold.next_at_ms is None:
        why = {"reason": unsold.reason}
    state: LeadState = "rejected" if why else "waiting"
    if not _let_in(conn, lead, _lead_row(lead, state, why.get("reason")) | {"answer": answer}):
        return _already_taken(conn, lead)
    begin_history(conn, lead.lead_id, lead.created_at_ms, state, why or {"reason": unsold.reason})
    if why:
        return Refused(lead_id=lead.lead_id, reason=why["reason"], of_lead_id=why.get("of"))
    assert unsold.next_at_ms is not None
    begin_wait(conn, lead.lead_id, lead.campaign, lead.created_at_ms, unsold.next_at_ms, unsold.until_ms)
    return Taken(lead_id=lead.lead_id)


def take_back_unsold(conn: Connection, lead: NewLead, unsold: Unsold) -> None:
    """As `take_back`, for a lead for which nobody bid. One that was tried again and offered meanwhile stays."""
    taken = take_unsold(conn, lead, unsold)
    if isinstance(taken, AlreadyTaken) and (
        taken.lead_id != lead.lead_id or conn.execute(_UNOFFERED, {"key": lead.lead_id}).first() is None
    ):
        return
    end_wait(conn, lead.lead_id)
    for statement in _VOID:
        conn.execute(statement, {"key": lead.lead_id})


def void_lead(conn: Connection, lead_id: str, worker: str) -> bool:
    """Takes back an intent of which nothing left the house: as if the post had never come.

    Only the worker that wrote it may call this, and only before it sent anything. False, and nothing is changed,
    if the lead is not in its hands (any more): it was taken over, or taken back before.
    """
    if conn.execute(_IN_HAND, {"lead_id": lead_id, "worker": worker}).first() is None:
        return False
    for statement in _VOID:
        conn.execute(statement, {"key": lead_id})
    return True


def take_back(conn: Connection, lead: NewLead, new_offers: Sequence[NewOffer]) -> None:
    """Takes back an intent of which it is not known whether it was written, and nothing left the house.

    Afterwards it is not there, and will not come: a first write that is on its way still (a commit whose answer
    was lost) holds the ping's unique key, so to write it again waits for its end. Another lead of the
    same ping stays as it is, and so does one that was taken over. Safe at any time and any number of times, for
    the worker that gave the lead up.
    """
    taken = take_lead(conn, lead, new_offers)
    if isinstance(taken, AlreadyTaken) and (taken.lead_id != lead.lead_id or taken.state != "offered"):
        return
    void_lead(conn, lead.lead_id, lead.worker)


def _let_in(conn: Connection, lead: NewLead, row: dict[str, Any]) -> bool:
    """The lead, by whom it is found, and (if it stands) what equal ones are known by. False if its ping has a lead, or
    its key."""
    if _INSERT_LEAD.count(conn, row) != 1:
        return False
    if lead.keyed is not None and not _INSERT_KEY.count(conn, {"keyed": lead.keyed, "lead_id": lead.lead_id}):
        conn.execute(_NO_LEAD, {"key": lead.lead_id})
        return False
    _INSERT_PERSON.each(conn, [{"hash": one, "lead_id": lead.lead_id} for one in lead.people])
    if row["state"] in STANDING:
        insert_prints(conn, lead)
    return True


def _why_refused(conn: Connection, lead: NewLead) -> dict[str, str]:
    """Why this lead is not to be offered to anybody, as its history tells it; nothing if it is."""
    if lead.suppressed_by is not None:
        return {"reason": "suppressed", "list": lead.suppressed_by}
    earlier = find_duplicate(conn, lead)
    return {"reason": "duplicate", "of": earlier} if earlier else {}


def _lead_row(lead: NewLead, state: LeadState, refused: str | None) -> dict[str, Any]:
    """A lead's first row: offered, or rejected, and why."""
    return {
        "lead_id": lead.lead_id,
        "ping_id": lead.ping_id,
        "seller": lead.seller,
        "campaign": lead.campaign,
        "test": lead.test,
        "state": state,
        "reason": refused,
        "payout_micros": 0,
        "created_at_ms": lead.created_at_ms,
        "updated_at_ms": lead.created_at_ms,
        "market_version": lead.market_version,
        "sub_id": lead.sub_id,
        "ping_fields": _encode(lead.ping_fields).decode(),
        "sealed": lead.sealed,
        "body_hash": lead.body_hash,
        "answer": lead.refused_answer if refused else None,
        "worker": lead.worker,
        "plan": None if refused else lead.plan,
    }


def _already_taken(conn: Connection, lead: NewLead) -> AlreadyTaken:
    row = conn.execute(_TAKEN, {"ping_id": lead.ping_id}).mappings().first()
    if row is None and lead.keyed is not None:
        row = conn.execute(_TAKEN_BY_KEY, {"keyed": lead.keyed}).mappings().first()
    if row is None:  # then it was the lead's id that was there before, under another ping
        raise ImpossibleMove(lead.lead_id, _state_of(conn, lead.lead_id), "received")
    return AlreadyTaken(**row)


def _state_of(conn: Connection, lead_id: str) -> str | None:
    found = conn.execute(_STATE, {"lead_id": lead_id}).scalar()
    return None if found is None else str(found)
