"""Sellers as the market knows them: what is read of their terms once, not at every ping."""

from __future__ import annotations

from typing import Self

import msgspec

from auction.market.model import Seller
from auction.market.money import Margin, margin_from_text

_PER_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}


class Rate(msgspec.Struct, frozen=True):
    """At most `limit` requests in any `per_ms`."""

    limit: int
    per_ms: int

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Of `60/minute`. Raises `ValueError` with a sentence for the operator."""
        limit, slash, per = text.partition("/")
        if not slash or per not in _PER_MS or not (limit.isascii() and limit.isdigit()) or int(limit) == 0:
            raise ValueError(f"expected a rate such as 60/minute, not {text!r}")
        return cls(int(limit), _PER_MS[per])


class TradedSeller(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A seller, its margin and rates read. `campaigns` are those it may ping, all spelled out."""

    id: str
    seller: Seller
    margin: Margin
    rate: Rate | None
    post_rate: Rate | None
    campaigns: frozenset[str]


def traded_seller(seller: Seller, all_campaigns: frozenset[str]) -> TradedSeller:
    """Compiles one seller. Raises `ValueError` for a margin or rate that a check refuses."""
    posts = seller.post_rate_limit or seller.rate_limit
    return TradedSeller(
        id=seller.id,
        seller=seller,
        margin=margin_from_text(seller.margin),
        rate=Rate.from_text(seller.rate_limit) if seller.rate_limit is not None else None,
        post_rate=Rate.from_text(posts) if posts is not None else None,
        campaigns=frozenset(seller.campaigns) or all_campaigns,
    )
