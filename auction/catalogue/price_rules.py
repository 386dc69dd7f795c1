"""Whether an order can ever win at its price: what is wrong with the terms of an order."""

from __future__ import annotations

from collections.abc import Iterator

from auction.catalogue.mistakes import Path, Problem
from auction.market.model import Buyer, Campaign, Cap, Order, Price
from auction.market.money import to_text


def price_problems(
    order: Order, path: Path, campaign: Campaign | None, buyer: Buyer | None
) -> Iterator[Problem]:
    """What is wrong with the price of the order at `path`; None for a campaign or buyer that is not known."""
    price, here = order.price, (*path, "price")
    if price.fixed_micros is None and not price.live:
        yield Problem(here, "expected a price, {fixed: 25.00} or {live: true, max: 80.00}")
        return
    if price.fixed_micros is not None and price.live:
        yield Problem((*here, "live"), "a price is fixed or live, not both; take one out")
        return
    if price.live and buyer is not None and buyer.ping_url is None:
        error = (
            f"the buyer `{buyer.id}` has no `ping_url` to be asked at; give it one, or write {{fixed: 25.00}}"
        )
        yield Problem((*here, "live"), error)
    yield from _never_won(price, here, campaign)
    if price.fixed_micros is not None:
        yield from _never_paid(price.fixed_micros, here, order, buyer)


def _never_won(price: Price, path: Path, campaign: Campaign | None) -> Iterator[Problem]:
    fixed, most = price.fixed_micros, price.max_micros
    if fixed is not None and most is not None and fixed > most:
        yield Problem((*path, "max"), f"the fixed price {to_text(fixed)} is above it; take `max` out")
    if price.live and most == 0:
        yield Problem((*path, "max"), "a bid of at most 0 buys nothing; write `paused: true`")
    highest = fixed if fixed is not None else most
    floor = 0 if campaign is None else campaign.auction.floor_micros
    if campaign is not None and highest is not None and highest < floor:
        key = "fixed" if fixed is not None else "max"
        error = f"below the floor of `{campaign.id}`, {to_text(floor)}: it can never win; raise it"
        yield Problem((*path, key), error)


def _never_paid(fixed_micros: int, path: Path, order: Order, buyer: Buyer | None) -> Iterator[Problem]:
    lowest = _lowest_spend(order.caps)
    owner = "its own cap"
    if buyer is not None:
        buyers = _lowest_spend(buyer.caps)
        if buyers is not None and (lowest is None or buyers < lowest):
            lowest, owner = buyers, f"the cap of its buyer `{buyer.id}`"
    if lowest is not None and 0 < lowest < fixed_micros:
        error = f"above {owner}, a spend of {to_text(lowest)}: not one lead can be sold; raise the cap"
        yield Problem((*path, "fixed"), error)


def _lowest_spend(caps: tuple[Cap, ...]) -> int | None:
    return min((cap.spend_micros for cap in caps if cap.spend_micros is not None), default=None)
