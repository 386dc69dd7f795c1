"""The offers of a lead: written before they leave the house, and again when they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import Boolean, Connection, and_, bindparam, insert, or_, update

from auction.ledger.faults import ImpossibleMove
from auction.ledger.records import NewOffer, OfferResult
from auction.ledger.schema import offers
from auction.ledger.statement import Statement, words

_NEW_OFFER = ("lead_id", "order_id", "seq", "buyer_id", "price_micros", "payout_micros", "exclusive", "state")
_OFFER_COLUMNS: dict[str, Any] = {name: bindparam(name) for name in (*_NEW_OFFER, "sent_at_ms")}
_INSERT_OFFER = Statement(insert(offers).values(_OFFER_COLUMNS))
_ANSWERED = Statement(
    update(offers)
    .where(
        and_(offers.c.lead_id == bindparam("of_lead"), offers.c.order_id == bindparam("of_order")),
        # a worker tells some answers twice: `add_offers` writes them, and `settle` all of them
        or_(
            offers.c.state.in_(words(("sent", "unknown"))),
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


_WITHDRAWN = (
    update(offers)
    .where(
        offers.c.lead_id == bindparam("of_lead"),
        offers.c.order_id == bindparam("of_order"),
        offers.c.state == "sent",
    )
    .values(state="rejected", reason="not_sent", answered_at_ms=bindparam("answered_at_ms"))
)


def insert_offers(
    conn: Connection,
    lead_id: str,
    last_seq: int,
    at_ms: int,
    new_offers: Sequence[NewOffer],
    repeated: AbstractSet[str] = frozenset(),
) -> None:
    """The intent to send a lead to these orders; `last_seq` is the number of its last offer. Those to `repeated`
    orders are rejected at once: nobody ever sends them."""
    _INSERT_OFFER.each(conn, _offer_rows(lead_id, last_seq, at_ms, new_offers))
    for order_id in repeated:
        result = OfferResult(order_id=order_id, state="rejected", answered_at_ms=at_ms, reason="duplicate")
        record_result(conn, lead_id, result, again=False)


def record_result(conn: Connection, lead_id: str, result: OfferResult, *, again: bool) -> None:
    """What one offer came to. `again`: it may have been told so before. Raises `ImpossibleMove`."""
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


def withdraw_offers(conn: Connection, lead_id: str, order_ids: Sequence[str], at_ms: int) -> None:
    """These offers were never sent, if they are there at all: nobody has to wait for an answer."""
    for order_id in order_ids:
        conn.execute(_WITHDRAWN, {"of_lead": lead_id, "of_order": order_id, "answered_at_ms": at_ms})


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
