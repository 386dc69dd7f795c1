"""When a lead that waits for a buyer is worth another try: after growing waits, and when something has opened.

Pure: time comes as an argument. What opens is a campaign's terms (a market that differs), an order's hours, or a new
window of a cap. A buyer that was out of order is found again by the waits alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from auction.market.market import CampaignMarket, Market, TradedOrder

MINUTE_MS: Final = 60_000
WAITS_MS: Final = tuple(minutes * MINUTE_MS for minutes in (1, 2, 5, 10, 15, 30))
FOREVER_MS: Final = 1 << 62


def wait_ms(tries: int) -> int:
    """How long to wait after so many tries: a minute at first, half an hour at last."""
    return WAITS_MS[min(tries, len(WAITS_MS) - 1)]


class _Seen(Struct):
    """A campaign as it was at the last look: its market, who was open, and when the next cap begins anew."""

    campaign: CampaignMarket
    open_mask: int
    fresh_at_ms: int


class Openings:
    """Which campaigns have opened for somebody since the last look. The first look says none."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def look(self, market: Market, now_ms: int) -> set[str]:
        """Those whose waiting leads may find a buyer now that they had not at the last look."""
        opened = set()
        for campaign in market.campaigns.values():
            if campaign.campaign.pending_hours is None and campaign.id not in self._seen:
                continue
            if self._has_opened(campaign, now_ms):
                opened.add(campaign.id)
        for gone in self._seen.keys() - market.campaigns.keys():
            del self._seen[gone]
        return opened

    def _has_opened(self, campaign: CampaignMarket, now_ms: int) -> bool:
        seen, mask = self._seen.get(campaign.id), campaign.open_mask(now_ms)
        if seen is not None and seen.campaign is campaign and now_ms < seen.fresh_at_ms:
            opened = bool(mask & ~seen.open_mask)
            seen.open_mask = mask
            return opened
        self._seen[campaign.id] = _Seen(campaign, mask, _fresh_at_ms(campaign.orders, now_ms))
        if seen is None:
            return False
        if now_ms >= seen.fresh_at_ms:
            return True
        return _terms(seen.campaign) != _terms(campaign) or bool(mask & ~seen.open_mask)


def _terms(campaign: CampaignMarket) -> tuple[object, ...]:
    """All that decides who buys in this campaign, as written."""
    return campaign.campaign, [(order.order, order.buyer) for order in campaign.orders]


def _fresh_at_ms(orders: Iterable[TradedOrder], now_ms: int) -> int:
    """When the next window of a cap of one of these begins."""
    ends = (cap.window(now_ms).end_ms for order in orders for cap in order.caps)
    return min(ends, default=FOREVER_MS)
