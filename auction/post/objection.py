"""What speaks against one offer at the last moment, pure: between ping and post the market may have changed."""

from __future__ import annotations

from auction.market.market import Market
from auction.market.model import Buyer
from auction.ping.bids import Win, standing
from auction.post.records import LeadDraft


def objection_to(
    market: Market, draft: LeadDraft, win: Win, buyer: Buyer | None, kept: bool, at_ms: int
) -> str | None:
    """Why an offer must not leave the house, if there is a reason.

    The terms of now hold: an order that is gone (or another buyer's) has no caps that a place could be kept in. One
    that was paused gets no more leads but those that were promised to it. Post fields are known only now, so a
    filter on them is judged now. A seller may name a buyer whose bid does not stand as long as the offer (`at_ms` is
    when it is offered).
    """
    if buyer is None or buyer.post_url is None:
        return "buyer_gone"
    if not kept:
        return "cap_full"
    promised = win in draft.ping.wins
    if not promised and not standing([win.bid], (at_ms - draft.ping.at_ms) / 1000):
        return "bid_expired"
    order = market.orders.get(win.bid.order_id)
    if order is None or order.buyer_id != buyer.id:
        return "order_gone"
    if order.paused and not promised:
        return "paused"
    try:
        filtered = order.filter is not None and not order.filter.holds(draft.values)
    except (AttributeError, TypeError):  # a field is of another type than when it was pinged
        return "filtered"
    return "filtered" if filtered else None
