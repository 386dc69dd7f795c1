"""What buyers report of leads after the post: the shapes of what is told, and of what came of it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from auction.ledger.records import Lead, Offer, Sale
from auction.ledger.sealing import Sealer
from auction.market.model import Returns
from auction.post.sale import LeadState, SaleState
from auction.post.settling import Settled


class Status(StrEnum):
    """What can be reported."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DELIVERED = "delivered"
    CONVERTED = "converted"
    RETURNED = "returned"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Who (`by`) tells what of which lead: ours by `lead_id`, or by the id that the buyer gave it.

    `buyer_id` None is an operator, who may name any lead. `reason` is one word. `beyond_terms`: a return is taken
    though the order's window or share does not allow it.
    """

    status: Status
    by: str
    buyer_id: str | None
    lead_id: str | None = None
    order_id: str | None = None
    buyer_lead_id: str | None = None
    reason: str | None = None
    value_micros: int | None = None
    beyond_terms: bool = False


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """Where the buyer's offer stands now (`status`), and whether the report changed that.

    `state` and `payout_micros` are the lead's; `freed`: the sale's place in the caps is free by its return.
    `prints` are what a lead is known by that was returned just now: it makes no other a duplicate any more.
    """

    lead_id: str
    ping_id: str
    campaign: str
    order_id: str
    buyer_id: str
    buyer_lead_id: str | None
    status: Status
    changed: bool
    state: LeadState
    payout_micros: int
    price_micros: int
    sale_payout_micros: int
    offered_at_ms: int
    test: bool
    value_micros: int | None = None
    reason: str | None = None
    returned_at_ms: int | None = None
    freed: bool = False
    prints: tuple[bytes, ...] = ()
    settled: Settled | None = None


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing was changed. `code`: `unknown_lead`, `unknown_order`, `which_lead`, `which_order`, `being_offered`,
    `impossible_status`, `told_otherwise`, `not_returnable`, `return_window_over`, `return_share_full`."""

    code: str
    detail: str
    lead_id: str = ""
    order_id: str = ""
    buyer_id: str = ""


class Rules(msgspec.Struct, frozen=True):
    """What a report is judged by: the returns that an order of the market allows, the house's currency, its keys."""

    returns_of: Callable[[str], Returns | None]
    currency: str
    sealer: Sealer


STATUS_OF = {
    SaleState.SOLD: Status.ACCEPTED,
    SaleState.DELIVERED: Status.DELIVERED,
    SaleState.CONVERTED: Status.CONVERTED,
    SaleState.RETURNED: Status.RETURNED,
}


def state_of(sale: Sale) -> SaleState:
    """Where a sale stands."""
    if sale.returned_at_ms is not None:
        return SaleState.RETURNED
    if sale.converted_at_ms is not None:
        return SaleState.CONVERTED
    return SaleState.SOLD if sale.delivered_at_ms is None else SaleState.DELIVERED


def reported_of(lead: Lead, offer: Offer, status: Status, *, changed: bool, **more: Any) -> Reported:
    """What became of a report on this offer; `more` is what is known beside the two rows."""
    plain: dict[str, Any] = {
        "lead_id": lead.lead_id,
        "ping_id": lead.ping_id,
        "campaign": lead.campaign,
        "order_id": offer.order_id,
        "buyer_id": offer.buyer_id,
        "buyer_lead_id": offer.buyer_lead_id,
        "price_micros": offer.price_micros,
        "sale_payout_micros": offer.payout_micros,
        "offered_at_ms": offer.sent_at_ms,
        "test": lead.test,
    }
    return Reported(status=status, changed=changed, **(plain | more))
