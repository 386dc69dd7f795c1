"""From bids to held places: rank, choose, hold; where a place is full, choose again without it.

The usual case is one write to the counters and one wait: the holds and the open ping leave together, because the first
choice nearly always holds. Where it does not, the record is written again with the next choice; until the answer
leaves, nobody knows the ping's id. The answer for a repeated ping follows when the places are held, and not before: an
equal ping on another worker reads it at once, and must not be told of what was only hoped for (P3, P5). Nobody
waits for that, nor for what is given back.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple

from auction.counters.answers import Full
from auction.counters.counters import Counters, Place
from auction.market.market import CampaignMarket
from auction.market.reasons import Reason
from auction.ping.auction import Auction
from auction.ping.bids import Bid, Mix, choose, leading_equals, rank, without
from auction.ping.floor import Floor
from auction.ping.journal import Trace
from auction.ping.offer import (
    KeptAnswer,
    OpenPing,
    PingAnswer,
    buyer_bids,
    encode_kept_answer,
    encode_open_ping,
    offer_answer,
)

HOLD_SLACK_MS = 5_000
"""A hold outlives its offer by what may pass between the claim of a post and its `keep`: the longest that the ledger
may take over the intent. So a post in the offer's last moment finds its place (P3)."""


class Holding:
    """Takes the places of a winning mix. Counts places `held`, and holds `refused` by a full cap."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.held = 0
        self.refused = 0

    async def hold_best(
        self,
        floor: Floor,
        campaign: CampaignMarket,
        trace: Trace,
        book: Auction,
        print_of: bytes | None,
        now_ms: int,
    ) -> tuple[OpenPing, PingAnswer] | None:
        """The best mix whose places could all be held, kept as an open ping; None if there is none.

        An offer stands as long as the campaign says, and no longer than its winners stand by their bids.

        A test ping holds nothing and wins by price alone.
        """
        ranked = await self._ranked(campaign, trace, book)
        held: dict[str, _Held] = {}
        written = False
        while (mix := choose(ranked, book.terms)) is not None:
            hold_s = min([campaign.rules.hold_s, *(win.bid.stands_s for win in mix.wins if win.bid.stands_s)])
            ping = _open_ping(trace, book, ranked, mix, print_of, now_ms, now_ms + hold_s * 1000)
            full = await self._take(floor, trace, ping, held)
            written = True
            if not full:
                self._give_back([had for order, had in held.items() if order not in _orders(mix)], now_ms)
                answer = offer_answer(ping, now_ms, floor.market.house.currency)
                if print_of is not None:
                    buyers = buyer_bids(ping) if trace.request.lists_buyers else ()
                    kept = encode_kept_answer(KeptAnswer(ping.until_ms, answer, buyers))
                    self._counters.remember(ping.seller, print_of, ping.ping_id, kept, now_ms, ping.until_ms)
                self.held += len(held)
                for win in mix.wins:
                    trace.won(win.bid)
                return ping, answer
            self.refused += len(full)
            for order_id, refused in full.items():
                order = floor.market.orders[order_id]
                floor.note_full(order, refused.free_at_ms, refused.room, now_ms)
                trace.lost(order_id, Reason.FULL_AT_HOLD)
            ranked = without(ranked, orders=full)
        self._give_back(list(held.values()), now_ms)
        if written and trace.opens:
            self._counters.discard_ping(trace.ping_id)
        book.next_tier()
        return None

    async def _ranked(self, campaign: CampaignMarket, trace: Trace, book: Auction) -> list[Bid]:
        ranked = rank(book.bids, book.terms, trace.ping_id)
        if book.terms.select != "turn" or trace.request.test:
            return ranked
        equals = leading_equals(ranked)
        if len(equals) < 2:
            return ranked
        queue = await self._counters.turn(campaign.id, sorted(equals))
        return rank(book.bids, book.terms, trace.ping_id, {order: at for at, order in enumerate(queue)})

    async def _take(
        self, floor: Floor, trace: Trace, ping: OpenPing, held: dict[str, _Held]
    ) -> dict[str, Full]:
        """One write: the places that are not held yet, and the open ping."""
        counters, now_ms, until_ms = self._counters, ping.at_ms, ping.until_ms + HOLD_SLACK_MS
        wanted = (
            []
            if ping.test
            else [
                _Held(place_of(floor, ping, win.bid.order_id, win.price_micros), until_ms)
                for win in ping.wins
            ]
        )
        for one in wanted:
            had = held.get(one.place.order_id)
            if had is not None and not had.serves(one):  # it was held for another mix
                del held[one.place.order_id]
                counters.release(had.place, now_ms)
        new = [one for one in wanted if one.place.order_id not in held]
        calls: list[Awaitable[object]] = [counters.hold(one.place, now_ms, until_ms) for one in new]
        if trace.opens:
            calls.append(counters.open_ping(ping.ping_id, encode_open_ping(ping), now_ms, ping.until_ms))
        results = [await call for call in calls]
        full: dict[str, Full] = {}
        for one, result in zip(new, results, strict=False):
            if isinstance(result, Full):
                full[one.place.order_id] = result
            else:
                held[one.place.order_id] = one
        return full

    def _give_back(self, places: list[_Held], now_ms: int) -> None:
        for one in places:
            self._counters.release(one.place, now_ms)


class _Held(NamedTuple):
    """A place that is held, and until when."""

    place: Place
    until_ms: int

    def serves(self, other: _Held) -> bool:
        """Whether this holds what `other` would: as much of every cap, for as long."""
        return self.place.price_micros >= other.place.price_micros and self.until_ms >= other.until_ms


def place_of(floor: Floor, ping: OpenPing, order_id: str, price_micros: int) -> Place:
    """The place in all caps that one order's win takes. An order that is gone from the market has no caps."""
    order = floor.market.orders.get(order_id)
    buyer_id = next(bid.buyer_id for bid in ping.ranked if bid.order_id == order_id)
    caps = order.caps if order is not None else ()
    return Place(buyer_id, order_id, ping.ping_id, price_micros, caps)


def _orders(mix: Mix) -> set[str]:
    return {win.bid.order_id for win in mix.wins}


def _open_ping(
    trace: Trace,
    book: Auction,
    ranked: list[Bid],
    mix: Mix,
    print_of: bytes | None,
    now_ms: int,
    until_ms: int,
) -> OpenPing:
    request = trace.request
    return OpenPing(
        ping_id=trace.ping_id,
        seller=trace.seller.id,
        campaign=trace.campaign,
        test=request.test,
        at_ms=now_ms,
        until_ms=until_ms,
        market_version=trace.market_version,
        sub_id=request.sub_id,
        values=trace.values,
        terms=book.terms,
        ranked=ranked,
        wins=mix.wins,
        print_of=print_of,
        opens=trace.opens,
        hashed=trace.hashed.kept,
    )
