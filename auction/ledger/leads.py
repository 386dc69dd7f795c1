"""The moves of a lead in the ledger: plain functions on a connection, each one transaction's worth of work.

`writer.write(partial(settle, settlement=…))` makes them durable. They may be run twice (a batch that
fails is run again), so they read nothing but the database. Which moves are allowed is decided in
`post/sale.py`; here a move is guarded: it happens from the states it was said to happen from, or not at
all. How a lead comes in is in `taking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Text, bindparam, func, insert, null, select, update
from sqlalchemy.exc import IntegrityError

from auction.ledger.duplicates import repeated_orders
from auction.ledger.faults import ImpossibleMove, SaleRefused, TakenOver
from auction.ledger.history import append_history
from auction.ledger.offers import insert_offers, record_result, withdraw_offers
from auction.ledger.outbox import HEARS
from auction.ledger.records import LeadState, NewOffer, NewSale, OfferResult, Settlement
from auction.ledger.schema import leads, offers, sales
from auction.ledger.statement import Statement, words

_LATER = (
    "delivered_at_ms",
    "converted_at_ms",
    "value_micros",
    "returned_at_ms",
    "return_reason",
    "cap_freed",
)
_NEW_SALE: dict[str, Any] = {one.name: bindparam(one.name) for one in sales.c if one.name not in _LATER}
_INSERT_SALE = Statement(insert(sales).values(_NEW_SALE))
_TOUCH = (
    update(leads)
    .where(
        leads.c.lead_id == bindparam("key"),
        leads.c.state == "offered",
        leads.c.worker == bindparam("of_worker"),
    )
    .values(updated_at_ms=bindparam("at_ms"))
    .returning(leads.c.campaign, leads.c.test)
)
_LAST_SEQ = select(func.coalesce(func.max(offers.c.seq), 0)).where(offers.c.lead_id == bindparam("lead_id"))
_HELD_BY = select(leads.c.state, leads.c.worker).where(leads.c.lead_id == bindparam("lead_id"))


@cache
def _move(from_states: tuple[LeadState, ...]) -> Statement:
    """Moves a lead out of one of these states, if it is in the worker's hands (None: in whosesoever).

    There are as many such statements as the code has moves.
    """
    return Statement(
        update(leads)
        .where(
            leads.c.lead_id == bindparam("key"),
            leads.c.state.in_(words(from_states)),
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
        .returning(leads.c.seller, leads.c.campaign, leads.c.test, HEARS)
    )


def add_offers(
    conn: Connection,
    lead_id: str,
    worker: str,
    results: Sequence[OfferResult],
    new_offers: Sequence[NewOffer],
    at_ms: int,
) -> frozenset[str]:
    """Writes the intent to send an offered lead to more orders (runner-ups), and what the earlier offers came to.

    So whoever has to go on with the lead knows who certainly refused. Gives those of the orders that it must not be
    sent to after all: they bought such a lead before, and their offers are written as rejected. Raises
    `ImpossibleMove`, or `TakenOver` where the lead is not in this worker's hands.
    """
    touched = conn.execute(_TOUCH, {"key": lead_id, "of_worker": worker, "at_ms": at_ms}).first()
    if touched is None:
        raise _refusal(conn, lead_id, "offered", worker)
    for result in results:
        record_result(conn, lead_id, result, again=True)
    last_seq = conn.execute(_LAST_SEQ, {"lead_id": lead_id}).scalar_one()
    repeated = repeated_orders(conn, lead_id, touched.campaign, touched.test, at_ms, new_offers)
    insert_offers(conn, lead_id, last_seq, at_ms, new_offers, repeated)
    append_history(conn, lead_id, at_ms, "offered", {"orders": [offer.order_id for offer in new_offers]})
    return repeated


def settle(conn: Connection, settlement: Settlement) -> None:
    """Writes the outcomes of offers, the sales, the lead's new state, its history, the answer, and what its seller is
    to be told in one go.

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
        record_result(conn, settlement.lead_id, result, again=settlement.worker is not None)
    withdraw_offers(conn, settlement.lead_id, settlement.withdrawn, settlement.at_ms)
    seller, campaign, test, hears = moved
    if settlement.sales:
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
    append_history(
        conn,
        settlement.lead_id,
        settlement.at_ms,
        settlement.state,
        _history_of(settlement),
        hears=bool(hears) and not settlement.quiet,
    )


def _history_of(settlement: Settlement) -> dict[str, Any]:
    detail = dict(settlement.detail)
    if settlement.reason is not None:
        detail["reason"] = settlement.reason
    if settlement.results:
        detail["offers"] = {result.order_id: result.state for result in settlement.results}
    return detail


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
