"""What speaks against one offer at the last moment, pure: between ping and post the market may have changed."""

from __future__ import annotations

from auction.market.market import Market
from auction.market.model import Buyer
from auction.ping.bids import Win
from auction.post.records import LeadDraft


def objection_to(market: Market, draft: LeadDraft, win: Win, buyer: Buyer | None, kept: bool) -> str | None:
    """Why an offer must not leave the house, if there is a reason.

    The terms of now hold: an order that is gone (or another buyer's) has no caps that a place could be kept in. One
    that was paused gets no more leads but those that were promised to it. Post fields are known only now, so a
    filter on them is judged now.
    """
    if buyer is None or buyer.post_url is None:
        return "buyer_gone"
    if not kept:
        return "cap_full"
    order = market.orders.get(win.bid.order_id)
    if order is None or order.buyer_id != buyer.id:
        return "order_gone"
    if order.paused and win not in draft.ping.wins:
        return "paused"
    try:
        filtered = order.filter is not None and not order.filter.holds(draft.values)
    except (AttributeError, TypeError):  # a field is of another type than when it was pinged
        return "filtered"
    return "filtered" if filtered else None
