"""A lead's way through the ledger: plain functions on a connection, each one transaction's worth of work.

`writer.write(partial(take_lead, lead=…, offers=…))` makes them durable. They may be run twice (a batch that
fails is run again), so they read nothing but the database. Which moves are allowed is decided in
`post/sale.py`; here a move is guarded: it happens from the states it was said to happen from, or not at
all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import msgspec
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from auction.ledger.engine import is_postgresql
from auction.ledger.faults import ImpossibleMove, SaleRefused, TakenOver
from auction.ledger.records import (
    AlreadyTaken,
    LeadState,
    NewLead,
    NewOffer,
    NewSale,
    OfferResult,
    Refused,
    Settlement,
    Taken,
)
from auction.ledger.schema import fingerprints, lead_history, leads, offers, people, sales
from auction.ledger.statement import Statement

DAY_MS: Final = 86_400_000
STANDING: Final = ("offered", "pending", "sold", "delivered", "converted")
"""States in which a lead makes a later equal one a duplicate: not when it was rejected, nor when it came
back."""

_encode = msgspec.json.encode


def _words(states: Iterable[str]) -> list[ColumnElement[str]]:
    """States as the statement's own text: PostgreSQL then sees which partial index they fit."""
    return [literal_column(f"'{state}'") for state in states]


def _moment(**known: Any) -> dict[str, Any]:
    """A line of the history: a parameter for each column that is not `known`."""
    return {column.name: bindparam(column.name) for column in lead_history.c} | known


_LEAD_COLUMNS: dict[str, Any] = {
    column.name: bindparam(column.name) for column in leads.c if column.name != "places"
}
_NEW_OFFER = ("lead_id", "order_id", "seq", "buyer_id", "price_micros", "payout_micros", "exclusive", "state")
_OFFER_COLUMNS: dict[str, Any] = {name: bindparam(name) for name in (*_NEW_OFFER, "sent_at_ms")}
_INSERT_LEAD = Statement(  # the same words for both databases, but each has a construct of its own for them
    sqlite.insert(leads).values(_LEAD_COLUMNS).on_conflict_do_nothing(),
    on_postgresql=postgresql.insert(leads).values(_LEAD_COLUMNS).on_conflict_do_nothing(),
)
_INSERT_OFFER = Statement(insert(offers).values(_OFFER_COLUMNS))
_INSERT_SALE = Statement(insert(sales))
_INSERT_FINGERPRINT = Statement(insert(fingerprints))
_INSERT_PERSON = Statement(insert(people))
_BEGIN_HISTORY = Statement(
    insert(lead_history).values(
        [
            _moment(
                seq=literal_column("1"), state=literal_column("'received'"), detail=literal_column("'{}'")
            ),
            _moment(seq=literal_column("2")),
        ]
    )
)
_APPEND_HISTORY = Statement(
    insert(lead_history)
    .values(
        _moment(
            seq=select(func.coalesce(func.max(lead_history.c.seq), 0) + 1)
            .where(lead_history.c.lead_id == bindparam("lead_id"))
            .scalar_subquery()
        )
    )
    .inline()  # nobody asks which number it was
)
_TAKEN = select(leads.c.lead_id, leads.c.state, leads.c.reason, leads.c.answer, leads.c.body_hash).where(
    leads.c.ping_id == bindparam("ping_id")
)
_STATE = select(leads.c.state).where(leads.c.lead_id == bindparam("lead_id"))
_DUPLICATE = Statement(
    select(fingerprints.c.lead_id)
    .join(leads, leads.c.lead_id == fingerprints.c.lead_id)
    .where(
        fingerprints.c.campaign == bindparam("campaign"),
        fingerprints.c.hash == bindparam("hash"),
        fingerprints.c.at_ms >= bindparam("since_ms"),
        leads.c.state.in_(_words(STANDING)),
        leads.c.test == bindparam("test"),
    )
    .limit(1)
)
_LOCK_HASH = Statement(select(func.pg_advisory_xact_lock(bindparam("key"))))
_TOUCH = (
    update(leads)
    .where(
        leads.c.lead_id == bindparam("key"),
        leads.c.state == "offered",
        leads.c.worker == bindparam("of_worker"),
    )
    .values(updated_at_ms=bindparam("at_ms"))
)
_LAST_SEQ = select(func.coalesce(func.max(offers.c.seq), 0)).where(offers.c.lead_id == bindparam("lead_id"))


@cache
def _move(from_states: tuple[LeadState, ...]) -> Statement:
    """Moves a lead out of one of these states, if it is in the worker's hands (None: in whosesoever).

    There are as many such statements as the code has moves.
    """
    return Statement(
        update(leads)
        .where(
            leads.c.lead_id == bindparam("key"),
            leads.c.state.in_(_words(from_states)),
            leads.c.worker == func.coalesce(bindparam("of_worker", type_=Text), leads.c.worker),
        )
        .values(
            state=bindparam("to_state"),
            reason=bindparam("to_reason"),
            updated_at_ms=bindparam("at_ms"),
            payout_micros=func.coalesce(bindparam("to_payout"), leads.c.payout_micros),
            answer=func.coalesce(bindparam("to_answer"), leads.c.answer),
            places=func.coalesce(leads.c.places, bindparam("to_places")),
            plan=null(),
        )
        .returning(leads.c.seller, leads.c.campaign, leads.c.test)
    )


_ANSWERED = Statement(
    update(offers)
    .where(
        and_(offers.c.lead_id == bindparam("of_lead"), offers.c.order_id == bindparam("of_order")),
        # a worker tells some answers twice: `add_offers` writes them, and `settle` all of them
        or_(
            offers.c.state.in_(_words(("sent", "unknown"))),
            and_(bindparam("again", type_=Boolean), offers.c.state == bindparam("to_state")),
        ),
    )
    .values(
        state=bindparam("to_state"),
        reason=bindparam("reason"),
        answered_at_ms=bindparam("answered_at_ms"),
        buyer_lead_id=bindparam("buyer_lead_id"),
        redirect_url=bindparam("redirect_url"),
    )
)
_IN_HAND = (
    select(leads.c.lead_id)
    .where(
        leads.c.lead_id == bindparam("lead_id"),
        leads.c.state.in_(("offered", "rejected")),
        leads.c.worker == bindparam("worker"),
    )
    .with_for_update()
)
_HELD_BY = select(leads.c.state, leads.c.worker).where(leads.c.lead_id == bindparam("lead_id"))
_VOID = tuple(
    delete(table).where(table.c.lead_id == bindparam("key"))
    for table in (lead_history, fingerprints, people, offers, leads)
)


def take_lead(
    conn: Connection, lead: NewLead, new_offers: Sequence[NewOffer]
) -> Taken | AlreadyTaken | Refused:
    """Takes a post in, with its first offers in state `sent`: the intent, before anything leaves the house.

    Of any number of takes of one ping exactly one is `Taken` (or `Refused`); all others are `AlreadyTaken`
    and change nothing.
    """
    why = _why_refused(conn, lead)
    state: LeadState = "rejected" if why else "offered"
    if _INSERT_LEAD.count(conn, _lead_row(lead, state, why.get("reason"))) != 1:
        return _already_taken(conn, lead)
    _INSERT_PERSON.each(conn, [{"hash": one, "lead_id": lead.lead_id} for one in lead.people])
    if why:
        _begin_history(conn, lead, state, why)
        return Refused(lead_id=lead.lead_id, reason=why["reason"], of_lead_id=why.get("of"))
    if lead.fingerprint is not None:
        known = {"campaign": lead.campaign, "hash": lead.fingerprint}
        _INSERT_FINGERPRINT.count(conn, {**known, "lead_id": lead.lead_id, "at_ms": lead.created_at_ms})
    _INSERT_OFFER.each(conn, _offer_rows(lead.lead_id, 0, lead.created_at_ms, new_offers))
    _begin_history(conn, lead, state, {"orders": [offer.order_id for offer in new_offers]})
    return Taken(lead_id=lead.lead_id)


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


def add_offers(
    conn: Connection,
    lead_id: str,
    worker: str,
    results: Sequence[OfferResult],
    new_offers: Sequence[NewOffer],
    at_ms: int,
) -> None:
    """Writes the intent to send an offered lead to more orders (runner-ups), and what the earlier offers came to.

    So whoever has to go on with the lead knows who certainly refused. Raises `ImpossibleMove`, or `TakenOver` where
    the lead is not in this worker's hands.
    """
    if conn.execute(_TOUCH, {"key": lead_id, "of_worker": worker, "at_ms": at_ms}).rowcount != 1:
        raise _refusal(conn, lead_id, "offered", worker)
    for result in results:
        _record_result(conn, lead_id, result, again=True)
    last_seq = conn.execute(_LAST_SEQ, {"lead_id": lead_id}).scalar_one()
    _INSERT_OFFER.each(conn, _offer_rows(lead_id, last_seq, at_ms, new_offers))
    _append_history(conn, lead_id, at_ms, "offered", {"orders": [offer.order_id for offer in new_offers]})


def settle(conn: Connection, settlement: Settlement) -> None:
    """Writes the outcomes of offers, the sales, the lead's new state, its history and the answer in one go.

    Raises `ImpossibleMove` if the lead is in none of `from_states` or an offer was answered otherwise before;
    `TakenOver` if it is not in the hands of the settlement's worker; `SaleRefused` if a sale breaks P1 or P8.
    Either way nothing of it is written.
    """
    moved = _move(settlement.from_states).first(
        conn,
        {
            "key": settlement.lead_id,
            "of_worker": settlement.worker,
            "to_state": settlement.state,
            "to_reason": settlement.reason,
            "to_payout": settlement.payout_micros,
            "to_answer": settlement.answer,
            "to_places": settlement.places,
            "at_ms": settlement.at_ms,
        },
    )
    if moved is None:
        raise _refusal(conn, settlement.lead_id, settlement.state, settlement.worker)
    for result in settlement.results:
        _record_result(conn, settlement.lead_id, result, again=settlement.worker is not None)
    if settlement.sales:
        seller, campaign, test = moved
        shared = {
            "lead_id": settlement.lead_id,
            "places": settlement.places,
            "seller": seller,
            "campaign": campaign,
            "test": test,
            "sold_at_ms": settlement.at_ms,
        }
        try:
            _INSERT_SALE.each(conn, [shared | _sale_row(sale) for sale in settlement.sales])
        except IntegrityError as error:
            raise SaleRefused(settlement.lead_id) from error
    _append_history(conn, settlement.lead_id, settlement.at_ms, settlement.state, _history_of(settlement))


def _why_refused(conn: Connection, lead: NewLead) -> dict[str, str]:
    """Why this lead is not to be offered to anybody, as its history tells it; nothing if it is."""
    if lead.suppressed_by is not None:
        return {"reason": "suppressed", "list": lead.suppressed_by}
    earlier = _find_duplicate(conn, lead)
    return {"reason": "duplicate", "of": earlier} if earlier else {}


def _find_duplicate(conn: Connection, lead: NewLead) -> str | None:
    """The standing lead that makes this one a duplicate. Exact: until we commit, nobody else looks for this
    hash."""
    if lead.fingerprint is None:
        return None
    if is_postgresql(conn):  # SQLite has one writer as it is
        key = int.from_bytes(lead.fingerprint[:8], "big", signed=True)
        _LOCK_HASH.first(conn, {"key": key})
    found = _DUPLICATE.first(
        conn,
        {
            "campaign": lead.campaign,
            "hash": lead.fingerprint,
            "since_ms": lead.created_at_ms - lead.duplicate_days * DAY_MS,
            "test": lead.test,
        },
    )
    return None if found is None else str(found[0])


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


def _begin_history(conn: Connection, lead: NewLead, state: LeadState, detail: dict[str, Any]) -> None:
    row = {"lead_id": lead.lead_id, "at_ms": lead.created_at_ms, "state": state}
    _BEGIN_HISTORY.count(conn, {**row, "detail": _encode(detail).decode()})


def _already_taken(conn: Connection, lead: NewLead) -> AlreadyTaken:
    row = conn.execute(_TAKEN, {"ping_id": lead.ping_id}).mappings().first()
    if row is None:  # then it was the lead's id that was there before, under another ping
        raise ImpossibleMove(lead.lead_id, _state_of(conn, lead.lead_id), "received")
    return AlreadyTaken(**row)


def _record_result(conn: Connection, lead_id: str, result: OfferResult, *, again: bool) -> None:
    """`again`: it may have been told so before."""
    row = {
        "of_lead": lead_id,
        "of_order": result.order_id,
        "again": again,
        "to_state": result.state,
        "reason": result.reason,
        "answered_at_ms": result.answered_at_ms,
        "buyer_lead_id": result.buyer_lead_id,
        "redirect_url": result.redirect_url,
    }
    if _ANSWERED.count(conn, row) != 1:
        raise ImpossibleMove(lead_id, f"not waiting for {result.order_id}", result.state)


def _append_history(
    conn: Connection, lead_id: str, at_ms: int, state: LeadState, detail: dict[str, Any]
) -> None:
    row = {"lead_id": lead_id, "at_ms": at_ms, "state": state, "detail": _encode(detail).decode()}
    _APPEND_HISTORY.count(conn, row)


def _history_of(settlement: Settlement) -> dict[str, Any]:
    detail = dict(settlement.detail)
    if settlement.reason is not None:
        detail["reason"] = settlement.reason
    if settlement.results:
        detail["offers"] = {result.order_id: result.state for result in settlement.results}
    return detail


def _offer_rows(
    lead_id: str, last_seq: int, at_ms: int, new_offers: Sequence[NewOffer]
) -> list[dict[str, Any]]:
    return [
        {
            "lead_id": lead_id,
            "order_id": offer.order_id,
            "seq": seq,
            "buyer_id": offer.buyer_id,
            "price_micros": offer.price_micros,
            "payout_micros": offer.payout_micros,
            "exclusive": offer.exclusive,
            "state": "sent",
            "sent_at_ms": at_ms,
        }
        for seq, offer in enumerate(new_offers, last_seq + 1)
    ]


def _sale_row(sale: NewSale) -> dict[str, Any]:
    return {
        "place": sale.place,
        "exclusive": sale.exclusive,
        "order_id": sale.order_id,
        "buyer_id": sale.buyer_id,
        "price_micros": sale.price_micros,
        "payout_micros": sale.payout_micros,
        "margin_micros": sale.price_micros - sale.payout_micros,
        "offered_at_ms": sale.offered_at_ms,
    }


def _refusal(conn: Connection, lead_id: str, wanted: str, worker: str | None) -> ImpossibleMove:
    """Why a lead did not move."""
    held = conn.execute(_HELD_BY, {"lead_id": lead_id}).first()
    if held is None:
        return ImpossibleMove(lead_id, None, wanted)
    kind = ImpossibleMove if worker in (None, held.worker) else TakenOver
    return kind(lead_id, held.state, wanted)


def _state_of(conn: Connection, lead_id: str) -> str | None:
    found = conn.execute(_STATE, {"lead_id": lead_id}).scalar()
    return None if found is None else str(found)
