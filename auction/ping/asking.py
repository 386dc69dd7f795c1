"""Who of the eligible is asked, and asking them: health, ask limits and ping caps, then one fan-out.

All requests of a tier are written before anything is awaited, and then there is one deadline for them all.
"""

from __future__ import annotations

import asyncio
import zlib
from time import perf_counter

from auction.buyers.fanout import Fanout
from auction.buyers.health import Health
from auction.buyers.protocol import PingBody, hashed_json
from auction.counters.allowances import Allowances
from auction.market.eligibility import bits
from auction.market.hashing import hashes_for_buyer
from auction.market.market import CampaignMarket, TradedOrder
from auction.market.reasons import Reason
from auction.ping.auction import Auction
from auction.ping.collect import Collecting
from auction.ping.deadlines import LEAST_ASK_MS
from auction.ping.floor import Floor
from auction.ping.journal import Stage, Trace


class Asking:
    """Asks buyers for bids. One per process."""

    def __init__(self, fanout: Fanout, allowances: Allowances, health: Health) -> None:
        self._fanout = fanout
        self._allowances = allowances
        self._health = health

    def sick(self, floor: Floor, campaign: CampaignMarket, ping_id: str) -> int:
        """The mask of orders whose buyers this ping does without, because they fail."""
        if not self._health.sick:
            return 0
        masks = floor.buyer_masks[campaign.id]
        mask = 0
        for buyer_id in self._health.left_out(ping_id, masks):
            mask |= masks[buyer_id]
        return mask

    async def ask_tier(
        self, floor: Floor, campaign: CampaignMarket, trace: Trace, book: Auction, mask: int, share_s: float
    ) -> None:
        """Ask the orders of `mask`; returns when the auction can close or `share_s` is over.

        Fixed prices bid at once. Who is not asked after all is kept with the reason.
        """
        live: list[TradedOrder] = []
        began_s = perf_counter()
        for order in await self._to_ask(campaign, trace, mask):
            if order.live:
                live.append(order)
            else:
                book.fixed(order)
        share_s -= perf_counter() - began_s  # pings may have had to be leased first
        if live and share_s * 1000 < LEAST_ASK_MS:
            trace.drop(live, Reason.NO_TIME)
        elif live:
            await self._collect(floor, campaign, trace, book, live, share_s)

    async def _collect(
        self,
        floor: Floor,
        campaign: CampaignMarket,
        trace: Trace,
        book: Auction,
        orders: list[TradedOrder],
        share_s: float,
    ) -> None:
        body = PingBody(
            ping_id=trace.ping_id,
            campaign=trace.campaign,
            floor_micros=book.terms.lowest_price_micros,
            currency=floor.market.house.currency,
            test=trace.request.test,
            lead=trace.values,
        )
        collecting = Collecting(book, asyncio.get_running_loop(), share_s)
        adaptive = campaign.rules.patience == "adaptive"
        trace.adaptive = adaptive and not trace.hurried
        most_ms = int(share_s * 1000)
        digests, hashed = trace.hashed.digests, b""
        waits: list[tuple[int, float]] = []
        asks, send = floor.asks, self._fanout.ask
        for slot, order in zip(book.ask_all(orders), orders, strict=True):
            ask = asks[order.id]
            told_ms = most_ms
            if ask.timeout_ms < most_ms:  # no `min`: a call of it costs as much as a look at the clock
                told_ms = ask.timeout_ms
            if digests:
                hashed = hashed_json(hashes_for_buyer(ask.hash_key, digests))
            message = body.for_order(ask.order_json, told_ms, hashed)
            lines = ask.signer.lines(trace.ping_id, trace.at_ms // 1000, message) if ask.signer else b""
            send(ask.target, message, collecting, slot, lines)
            patience_ms = self._health.patience_ms(order.buyer_id, told_ms) if adaptive else told_ms
            if patience_ms < most_ms:
                waits.append((slot, patience_ms))
        trace.lap(Stage.ASK)
        await collecting.wait_for(waits)
        trace.saved_ms += collecting.saved_ms
        trace.lap(Stage.BUYERS)

    async def _to_ask(self, campaign: CampaignMarket, trace: Trace, mask: int) -> list[TradedOrder]:
        """The orders of this tier that are asked: at most `max_asks`, and only where a ping cap allows it."""
        orders = [campaign.orders[bit] for bit in bits(mask)]
        most = campaign.rules.max_asks
        if len(orders) > most:
            # Another stretch of the ring for every ping: fair, and the same every time for one.
            first = zlib.crc32(trace.ping_id.encode()) % len(orders)
            ring = orders[first:] + orders[:first]
            trace.drop(ring[most:], Reason.ASK_LIMIT)
            orders = ring[:most]
        if trace.request.test or not any(order.ping_caps for order in orders):
            return orders
        return await self._within_ping_caps(trace, orders)

    async def _within_ping_caps(self, trace: Trace, orders: list[TradedOrder]) -> list[TradedOrder]:
        """Spends one ping of each order that has ping caps; most come out of this worker's own blocks."""
        capped = [order for order in orders if order.ping_caps]
        refused = set()
        for order, why_not in zip(capped, await self._allowances.spend(capped), strict=True):
            if why_not is not None:
                trace.drop([order], why_not)
                refused.add(order.bit)
        return [order for order in orders if order.bit not in refused]
