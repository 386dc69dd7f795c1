"""What a seller is told of a change of its lead's status: values for macros, or a body. Pure; nobody is named."""

from __future__ import annotations

import msgspec

from auction.ledger.postbacks import Due
from auction.market.money import Budget, from_wire, to_text, to_wire
from auction.ping.offer import iso_utc


class LeadEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a lead. `payout` is what it earns its seller now, `value` what a conversion was worth. `told` is
    what a buyer said that changed it: a shared lead that one buyer returned is still sold, for less."""

    event_id: str
    lead_id: str
    ping_id: str
    campaign: str
    seller: str
    status: str
    payout: float
    currency: str
    at: str
    test: bool
    told: str | None = None
    reason: str | None = None
    value: float | None = None
    sub_id: str | None = None


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A signed postback, as Standard Webhooks has it: `type` is `lead.` and the status; it happened at `timestamp`."""

    type: str
    timestamp: str
    data: LeadEvent


def event_of(due: Due, currency: str) -> LeadEvent:
    """The event of a postback."""
    return LeadEvent(
        event_id=due.event_id,
        lead_id=due.lead_id,
        ping_id=due.ping_id,
        campaign=due.campaign,
        seller=due.seller,
        status=due.state,
        payout=to_wire(due.payout_micros),
        currency=currency,
        at=iso_utc(due.at_ms),
        test=due.test,
        told=due.detail.get("told"),
        reason=due.detail.get("reason"),
        value=due.detail.get("value"),
        sub_id=due.sub_id,
    )


def body_of(due: Due, currency: str) -> bytes:
    """The body of a signed postback: the same bytes at every try."""
    event = event_of(due, currency)
    return msgspec.json.encode(Webhook(type=f"lead.{event.status}", timestamp=event.at, data=event))


def macro_values(due: Due, currency: str) -> dict[str, str]:
    """What each macro stands for."""
    event = event_of(due, currency)
    return {
        "lead_id": event.lead_id,
        "ping_id": event.ping_id,
        "event_id": event.event_id,
        "status": event.status,
        "payout": _amount(due.payout_micros),
        "currency": currency,
        "value": "" if event.value is None else _amount(from_wire(event.value, Budget.most_micros)),
        "told": event.told or "",
        "reason": event.reason or "",
        "sub_id": event.sub_id or "",
        "campaign": event.campaign,
        "seller": event.seller,
        "test": "true" if event.test else "false",
        "at": event.at,
        "timestamp": str(due.at_ms // 1_000),
    }


def _amount(micros: int) -> str:
    """`1250.00`: as people write it, without what would part the thousands."""
    return to_text(micros).replace(",", "")
