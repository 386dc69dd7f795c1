"""What one lead is known by, for the rules on duplicates: keyed hashes, made of all that it says."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from auction.ledger.sealing import Sealer
from auction.market.campaigns import CampaignMarket
from auction.market.model import FieldValue
from auction.ping.hashes import sameness_hash


class Known(msgspec.Struct, frozen=True):
    """A print, and for how many days another lead with it is a duplicate."""

    print_of: bytes
    days: int


class LeadPrints(msgspec.Struct, frozen=True):
    """What a lead is known by: to its campaign's rule, to orders with rules of their own, and to all together.

    `at_ping` are those that a ping can be known by, `keep_ms` is how long that matters to anybody.
    """

    campaign: Known | None = None
    orders: Mapping[str, Known] = {}
    every: tuple[bytes, ...] = ()
    at_ping: tuple[bytes, ...] = ()
    keep_ms: int = 0


NONE = LeadPrints()


def lead_prints(campaign: CampaignMarket, values: Mapping[str, FieldValue], sealer: Sealer) -> LeadPrints:
    """What a lead with these values is known by in this campaign."""
    duplicates = campaign.duplicates
    if duplicates is None:
        return NONE
    prints = [
        None if told is None else sameness_hash(sealer.keyed_hash, campaign.id, told)
        for told in duplicates.told(values)
    ]
    rules = {"": duplicates.campaign} | duplicates.orders
    known = {
        whose: Known(print_of, rule.days)
        for whose, rule in rules.items()
        if rule is not None and (print_of := prints[rule.at]) is not None
    }
    return LeadPrints(
        campaign=known.pop("", None),
        orders=known,
        every=tuple(one for one in prints if one is not None),
        at_ping=tuple(
            one
            for one, sameness in zip(prints, duplicates.samenesses, strict=True)
            if one is not None and sameness.at_ping
        ),
        keep_ms=max(sameness.keep_ms for sameness in duplicates.samenesses),
    )
