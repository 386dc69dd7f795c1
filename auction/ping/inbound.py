"""What a campaign turns away before anybody is asked: by its own filter, its suppression lists, its duplicate rules.

Only what a ping can tell is looked at here; at the post the ledger has the last word on duplicates, and the lists on
whom is named. A campaign that has none of these is asked one question: whether it has.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping

from auction.counters.counters import Counters
from auction.counters.naming import ANYBODY
from auction.market.campaigns import CampaignMarket
from auction.market.masks import bits
from auction.market.model import FieldValue
from auction.market.reasons import Reason
from auction.ping.hashes import Hashes
from auction.ping.journal import Trace
from auction.suppression.shelf import Shelf

Bought = dict[int, dict[str, int]]
"""By the place of a sameness: who bought a lead that is the same, and when last."""


class Inbound:
    """The gate of one worker."""

    def __init__(self, counters: Counters, shelf: Shelf) -> None:
        self._counters = counters
        self._shelf = shelf

    def look(
        self,
        campaign: CampaignMarket,
        hashes: Hashes,
        values: Mapping[str, FieldValue],
        digests: Mapping[str, str],
    ) -> Future[Bought] | None:
        """Asks who bought leads that are the same as this one; the call is under way. None: there is nothing to ask."""
        duplicates = campaign.ping_duplicates
        if duplicates is None:
            return None
        told = duplicates.told(values, digests, at_ping=True)
        prints = {at: hashes.same(campaign.id, one) for at, one in enumerate(told) if one is not None}
        return self._counters.who_bought(campaign.id, prints) if prints else None

    def refusal(self, campaign: CampaignMarket, trace: Trace) -> Reason | None:
        """Why this lead is offered to nobody; None if it may be."""
        inbound = campaign.inbound
        if inbound is not None and not inbound.holds(trace.values):
            return Reason.INBOUND
        lists = campaign.ping_lists
        if lists and (
            self._shelf.look(lists, trace.values) or self._shelf.look_by_digest(lists, trace.hashed.digests)
        ):
            return Reason.SUPPRESSED
        rule = campaign.ping_duplicates.campaign if campaign.ping_duplicates is not None else None
        if rule is not None and _within(trace, rule.at, ANYBODY, rule.window_ms):
            return Reason.DUPLICATE
        return None

    def without_repeats(self, campaign: CampaignMarket, trace: Trace, eligible: int) -> int:
        """The eligible orders, but for those that bought such a lead not long ago and want no other."""
        duplicates = campaign.ping_duplicates
        if duplicates is None:
            return eligible
        out = 0
        for at, told in trace.bought.items():
            for who in told:
                rule = duplicates.orders.get(who)
                if rule is not None and rule.at == at and _within(trace, at, who, rule.window_ms):
                    out |= 1 << duplicates.bits[who]
        out &= eligible
        if out:
            trace.drop((campaign.orders[bit] for bit in bits(out)), Reason.DUPLICATE)
        return eligible & ~out


def _within(trace: Trace, at: int, who: str, window_ms: int) -> bool:
    last_ms = trace.bought.get(at, {}).get(who)
    return last_ms is not None and last_ms >= trace.at_ms - window_ms
