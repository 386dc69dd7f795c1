"""One auction, pure: collects the bids of one ping, and knows when it can close.

No sockets, no clock: the service tells it who was asked, what came back and when to stop. It never asks twice,
never takes a bid after it closed, and keeps for every asked order why it did not bid (P9).

**When it can close**: when nobody is outstanding, or when no outstanding order can still win. The
proof is the highest price each outstanding order may bid, its declared `max`: if the worst bid that would win now
is *above* all of them, no answer can change the winners (at an equal price a tie could, so equal is not enough).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from auction.buyers.protocol import Bid as Quote
from auction.market.market import TradedOrder
from auction.market.money import MOST_MICROS
from auction.market.reasons import Reason
from auction.ping.bids import Bid, Terms

_TIMEOUT, _OUTBID = Reason.TIMEOUT, Reason.OUTBID
"""Looked up once: for a member of an enum Python 3.11 calls a function, three times an order."""
_NEVER = MOST_MICROS + 1


class Outcome(msgspec.Struct, gc=False, array_like=True):
    """What became of one order that was asked (or bid a fixed price): for `explain` and the statistics."""

    order_id: str
    bit: int
    reason: Reason
    price_micros: int = 0
    elapsed_us: int = 0
    said: str | None = None


class Auction:
    """The bids of one ping. `slot` numbers the asks, in the order in which they were made."""

    __slots__ = (
        "_ceilings",
        "_highest",
        "_least_max",
        "_lowest",
        "_open",
        "asked",
        "bids",
        "outcomes",
        "outstanding",
        "terms",
    )

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.bids: list[Bid] = []
        self.outcomes: list[Outcome] = []
        self.outstanding = 0
        self.asked: list[TradedOrder] = []
        self._open: list[bool] = []
        self._ceilings: list[tuple[int, int]] = []  # (declared max, slot) of those asked, the highest last
        self._least_max = _NEVER  # of those asked: no bid up to it settles anything
        self._lowest = max(1, terms.lowest_price_micros)
        self._highest = 0

    def fixed(self, order: TradedOrder) -> None:
        """An order with a fixed price bids at once."""
        price = order.fixed_micros
        assert price is not None, f"{order.id} has no fixed price"
        slot = self.ask(order)
        self._open[slot] = False
        self.outstanding -= 1
        self._take(slot, Quote(price, order.exclusive))

    def ask(self, order: TradedOrder) -> int:
        """`order` is asked now: the slot under which its answer must come."""
        return self.ask_all((order,))[0]

    def ask_all(self, orders: Sequence[TradedOrder]) -> range:
        """All of `orders` are asked now: the slots under which their answers must come, in the same order."""
        first, count = len(self.asked), len(orders)
        self.asked += orders
        self._open += [True] * count
        self.outcomes += [Outcome(order.id, order.bit, _TIMEOUT) for order in orders]
        self.outstanding += count
        return range(first, first + count)

    def next_tier(self) -> None:
        """The tiers above gave no offer: what they bid does not count any more (what became of it is kept)."""
        self.bids.clear()
        self._highest = 0

    def asks_done(self) -> None:
        """All asks of this tier are out: put the ceilings in order, once."""
        asked = zip(self.asked, self._open, range(len(self.asked)), strict=True)
        self._ceilings = sorted([(order.max_micros, slot) for order, still_open, slot in asked if still_open])
        self._least_max = self._ceilings[0][0] if self._ceilings else 0

    def bid(self, slot: int, quotes: Sequence[Quote], elapsed_us: int) -> None:
        """What the buyer bids; prices below the floor or over the declared max are refused."""
        if self._close(slot, elapsed_us):
            for quote in quotes:
                self._take(slot, quote)

    def refuse(self, slot: int, reason: Reason, elapsed_us: int = 0, said: str | None = None) -> None:
        """The order of `slot` gave no bid that counts, for this reason; `said` are the buyer's own words."""
        if self._close(slot, elapsed_us):
            outcome = self.outcomes[slot]
            outcome.reason = reason
            outcome.said = said

    def order(self, slot: int) -> TradedOrder:
        """Who was asked under `slot`."""
        return self.asked[slot]

    def is_open(self, slot: int) -> bool:
        """Whether the answer of `slot` is still awaited."""
        return self._open[slot]

    def cut_off(self, reason: Reason, elapsed_us: int, slots: Sequence[int] | None = None) -> None:
        """These slots (or all that are outstanding) are not awaited any more."""
        for slot in range(len(self._open)) if slots is None else slots:
            self.refuse(slot, reason, elapsed_us)

    def can_close(self) -> bool:
        """Whether no answer that is still out could change who wins, or what the winners pay."""
        if self.outstanding == 0:
            return True
        if self._highest <= self._least_max:  # the usual case: whoever is out may bid as much
            return False
        terms = self.terms
        if terms.select == "weight":
            return False
        ceilings = self._ceilings
        while ceilings and not self._open[ceilings[-1][1]]:
            ceilings.pop()
        ceiling = ceilings[-1][0] if ceilings else 0
        if terms.mode == "exclusive":
            if terms.pays == "first":
                return self._highest > ceiling
            return self._second_highest() > ceiling
        return self._mix_is_settled(ceiling)

    def _mix_is_settled(self, ceiling_micros: int) -> bool:
        """Shared and hybrid: the last place of the best shared mix is priced above every outstanding `max` —
        and in hybrid also nothing outstanding can outbid the best whole."""
        terms = self.terms
        shared: dict[str, int] = {}
        best_alone = 0
        for bid in self.bids:
            if bid.exclusive:
                best_alone = max(best_alone, bid.price_micros)
            else:
                shared[bid.buyer_id] = max(shared.get(bid.buyer_id, 0), bid.price_micros)
        needed = terms.max_buyers + (1 if terms.pays == "second" else 0)
        top = sorted(shared.values(), reverse=True)[:needed]
        places_settled = len(top) == needed and top[-1] > ceiling_micros
        if terms.mode == "shared":
            return places_settled
        payout = terms.margin.payout_micros
        together = sum(payout(price) for price in top)
        if places_settled:  # only an exclusive bid could still come between
            return max(together, payout(best_alone)) > payout(ceiling_micros)
        # the best that outstanding shared bids could make of the mix: every place at the ceiling or better
        hoped = sorted([*top, *[ceiling_micros] * min(self.outstanding, terms.max_buyers)], reverse=True)
        most = sum(payout(price) for price in hoped[: terms.max_buyers])
        return payout(best_alone) > max(most, payout(ceiling_micros))

    def _second_highest(self) -> int:
        """The best price of a second buyer; 0 where only one has bid."""
        best: dict[str, int] = {}
        for bid in self.bids:
            best[bid.buyer_id] = max(best.get(bid.buyer_id, 0), bid.price_micros)
        return sorted(best.values(), reverse=True)[1] if len(best) > 1 else 0

    def _close(self, slot: int, elapsed_us: int) -> bool:
        if not self._open[slot]:
            return False
        self._open[slot] = False
        self.outstanding -= 1
        self.outcomes[slot].elapsed_us = elapsed_us
        return True

    def _take(self, slot: int, quote: Quote) -> None:
        order, outcome, price_micros = self.asked[slot], self.outcomes[slot], quote.price_micros
        if price_micros > outcome.price_micros:
            outcome.price_micros = price_micros
        if not self._lowest <= price_micros <= order.max_micros or (
            quote.exclusive and self.terms.mode == "shared"
        ):
            if outcome.reason is not _OUTBID:
                outcome.reason = self._objection(order, price_micros)
            return
        outcome.reason = _OUTBID  # until it wins
        self.bids.append(
            Bid(
                order.id,
                order.buyer_id,
                price_micros,
                quote.exclusive,
                order.priority,
                order.weight,
                quote.bid_id,
                quote.expires_in_s,
            )
        )
        if price_micros > self._highest:
            self._highest = price_micros

    def _objection(self, order: TradedOrder, price_micros: int) -> Reason:
        if price_micros > order.max_micros:
            return Reason.OVER_MAX
        return Reason.BELOW_FLOOR if price_micros < self._lowest else Reason.WANTS_EXCLUSIVE
