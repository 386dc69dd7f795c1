"""Small makers of market things for tests: only what a test says differs from the plainest one."""

from __future__ import annotations

from typing import Any

from auction.buyers.protocol import Bid as Quote
from auction.market.hours import parse_hours
from auction.market.model import Buyer, Order, Price
from auction.market.money import MICROS, Margin, Micros
from auction.market.orders import TradedOrder
from auction.ping.bids import Bid, Terms


def dollars(amount: float) -> int:
    """Micros of a plain amount."""
    return round(amount * MICROS)


def traded_order(
    id: str,  # noqa: A002  (it is the field's name)
    *,
    buyer: str | None = None,
    fixed: float | None = None,
    most: float = 100.0,
    exclusive: bool = False,
    **more: Any,
) -> TradedOrder:
    """An order that is live up to `most`, or `fixed`."""
    price = (
        Price(live=True, max_micros=Micros(dollars(most)))
        if fixed is None
        else Price(fixed_micros=Micros(dollars(fixed)))
    )
    buyer_id = buyer or f"buyer-of-{id}"
    order = Order(id=id, buyer=buyer_id, campaign="solar", price=price, exclusive=exclusive)
    plain: dict[str, Any] = {
        "bit": 0,
        "filter": None,
        "hours": parse_hours((), "UTC"),
        "caps": (),
        "ping_caps": (),
        "priority": 0,
        "weight": 1,
        "tier": 1,
    }
    return TradedOrder(
        id=id,
        order=order,
        buyer=Buyer(id=buyer_id),
        buyer_id=buyer_id,
        campaign_id="solar",
        fixed_micros=None if fixed is None else dollars(fixed),
        live=fixed is None,
        max_micros=dollars(most if fixed is None else fixed),
        exclusive=exclusive,
        **plain | more,
    )


def terms(mode: Any = "exclusive", **more: Any) -> Terms:
    """Auction terms without floor and margin."""
    plain: dict[str, Any] = {
        "max_buyers": 1 if mode == "exclusive" else 3,
        "pays": "first",
        "select": "price",
        "lowest_price_micros": 0,
        "margin": Margin(),
    }
    return Terms(mode=mode, **plain | more)


def bid(order: str, price: float, *, exclusive: bool = False, buyer: str | None = None, **more: Any) -> Bid:
    """A bid of `price` by one order."""
    return Bid(order, buyer or f"buyer-of-{order}", dollars(price), exclusive, **more)


def quote(price: float, exclusive: bool = False) -> Quote:
    """What a buyer's answer says: one price."""
    return Quote(dollars(price), exclusive)
