"""Rows that are right in everything a test does not care about."""

from __future__ import annotations

from typing import Any

from auction.ledger.records import NewLead, NewOffer, NewSale, OfferResult, PingRow, Settlement

AT_MS = 1_750_000_000_000


def a_ping(ping_id: str = "ping-1", **more: Any) -> PingRow:
    known: dict[str, Any] = {
        "at_ms": AT_MS,
        "seller": "acme",
        "campaign": "solar-us",
        "status": "no_bid",
        "market_version": 1,
        "lead": {"state": "TX"},
        "detail": {"masks": b"\x01\x02", "answers": [["sunrise", 31_500_000]]},
    }
    return PingRow(ping_id=ping_id, **(known | more))


def a_lead(number: int | str = 1, **more: Any) -> NewLead:
    known: dict[str, Any] = {
        "lead_id": f"lead-{number}",
        "ping_id": f"ping-{number}",
        "seller": "acme",
        "campaign": "solar-us",
        "created_at_ms": AT_MS,
        "market_version": 1,
        "ping_fields": {"state": "TX", "electric_bill": 120},
        "sealed": b"sealed",
        "body_hash": b"hash",
        "worker": "w1",
    }
    return NewLead(**(known | more))


def an_offer(order: str = "sunrise-tx", **more: Any) -> NewOffer:
    known: dict[str, Any] = {
        "order_id": order,
        "buyer_id": order.partition("-")[0],
        "price_micros": 31_500_000,
        "payout_micros": 25_200_000,
        "exclusive": True,
    }
    return NewOffer(**(known | more))


def a_sale(order: str = "sunrise-tx", place: int = 1, **more: Any) -> NewSale:
    known: dict[str, Any] = {
        "place": place,
        "order_id": order,
        "buyer_id": order.partition("-")[0],
        "price_micros": 31_500_000,
        "payout_micros": 25_200_000,
        "offered_at_ms": AT_MS,
        "exclusive": True,
    }
    return NewSale(**(known | more))


def sold(number: int | str = 1, order: str = "sunrise-tx", **more: Any) -> Settlement:
    """The usual end: the winner accepted, exclusively."""
    known: dict[str, Any] = {
        "lead_id": f"lead-{number}",
        "from_states": ("offered",),
        "state": "sold",
        "at_ms": AT_MS + 50,
        "results": (OfferResult(order_id=order, state="accepted", answered_at_ms=AT_MS + 40),),
        "sales": (a_sale(order),),
        "places": 1,
        "payout_micros": 25_200_000,
        "answer": '{"status":"sold"}',
    }
    return Settlement(**(known | more))
