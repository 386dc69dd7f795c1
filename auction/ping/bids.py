"""A bid, and which bids win: the rules of choosing, pure.

Three modes, one function. An *exclusive* mix is one bid; a *shared* mix is the best `max_buyers` bids of different
buyers; *hybrid* takes whichever of the two pays the seller more (an exclusive one if they pay the same: fewer
calls for the same money). `choose` is asked again with fewer bids when a place is full or a buyer rejects, so
the runners-up follow from the same rule as the winners.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from auction.market.model import Mode
from auction.market.money import Margin


class Bid(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One order's price for one ping. `exclusive`: the price holds only if nobody else gets the lead.

    `stands_s` is how long the buyer stands by it, where it said so.
    """

    order_id: str
    buyer_id: str
    price_micros: int
    exclusive: bool
    priority: int = 0
    weight: int = 1
    bid_id: str | None = None
    stands_s: int | None = None


class Terms(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one auction is held under: the campaign's rules with this seller's margin and floor worked in.

    `lowest_price_micros` is the floor in the buyers' money: the campaign's own, or the price that pays the
    seller the floor it asked for, whichever is higher.
    """

    mode: Mode
    max_buyers: int
    pays: str
    select: str
    lowest_price_micros: int
    margin: Margin

    @property
    def most_winners(self) -> int:
        """How many buyers one lead may go to."""
        return 1 if self.mode == "exclusive" else self.max_buyers


class Win(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A bid that won, with the price its buyer pays and the payout that the seller gets."""

    bid: Bid
    price_micros: int
    payout_micros: int


class Mix(msgspec.Struct, frozen=True, gc=False):
    """The winners of one choice: one exclusive win, or one to `max_buyers` shared ones."""

    wins: tuple[Win, ...]
    exclusive: bool

    @property
    def payout_micros(self) -> int:
        """What the seller gets if every winner takes the lead."""
        return sum(win.payout_micros for win in self.wins)


_RUNG = attrgetter("price_micros", "priority")
"""What ranks by itself; those on one rung are equals."""


def rank(
    bids: Iterable[Bid], terms: Terms, ping_id: str, turns: Mapping[str, int] | None = None
) -> list[Bid]:
    """The bids, best first.

    By price: higher price, then higher priority, then `turns` (the campaign's round robin: order id → place in
    the queue) where given, then a hash of ping and order: fair over pings, the same every time for one.
    By weight: drawn without replacement, each with its weight's chance, by the same kind of hash.
    """
    if terms.select == "weight":
        return sorted(bids, key=lambda bid: _draw(ping_id, bid))
    ranked = sorted(bids, key=_RUNG, reverse=True)
    rungs = [_RUNG(bid) for bid in ranked]
    if len(set(rungs)) == len(rungs):
        return ranked
    settled: list[Bid] = []
    for _, group in groupby(ranked, key=_RUNG):
        equals = list(group)
        if len(equals) > 1:
            equals.sort(
                key=lambda bid: (turns.get(bid.order_id, 0) if turns else 0, _tie(ping_id, bid.order_id))
            )
        settled += equals
    return settled


def leading_equals(ranked: Sequence[Bid]) -> list[str]:
    """The orders that share the best price and priority: those among whom a round robin decides."""
    if not ranked:
        return []
    best = _RUNG(ranked[0])
    return list(dict.fromkeys(bid.order_id for bid in ranked if _RUNG(bid) == best))


def choose(
    ranked: Sequence[Bid], terms: Terms, *, places: int | None = None, shared_only: bool = False
) -> Mix | None:
    """The winning mix out of `ranked` (best first), or None if there is none.

    `places` and `shared_only` serve the post's way: when one of several shared buyers has taken the lead
    already, only shared bids can follow, in the places that are left.
    """
    places = terms.most_winners if places is None else places
    if places < 1 or not ranked:
        return None
    alone = None if shared_only else _exclusive_mix(ranked, terms)
    together = None if terms.mode == "exclusive" else _shared_mix(ranked, terms, places)
    if alone is None or together is None:
        return alone or together
    return alone if alone.payout_micros >= together.payout_micros else together


def choices(ranked: Sequence[Bid], wins: Sequence[Win], terms: Terms) -> list[Win]:
    """What each buyer would get the lead for if the seller chose it, one a buyer, what pays the seller most first.

    A winner as it won: that is what its place is held for. Any other by its best bid, at the price that this bid would
    have won for had the better ones not been made.
    """
    by_buyer = {win.bid.buyer_id: win for win in wins}
    for at, bid in enumerate(ranked):
        if bid.buyer_id in by_buyer:
            continue
        price = bid.price_micros
        if terms.pays == "second":
            rivals = (one.price_micros for one in ranked[at + 1 :] if one.buyer_id != bid.buyer_id)
            price = min(price, max(terms.lowest_price_micros, max(rivals, default=0)))
        by_buyer[bid.buyer_id] = _win(bid, price, terms)
    return sorted(by_buyer.values(), key=attrgetter("payout_micros"), reverse=True)


def choice_of(buyer_id: str, ranked: Sequence[Bid], wins: Sequence[Win], terms: Terms) -> Win | None:
    """The choice of one buyer; None if it made no bid that could win."""
    return next((win for win in choices(ranked, wins, terms) if win.bid.buyer_id == buyer_id), None)


def standing(ranked: Sequence[Bid], age_s: float) -> list[Bid]:
    """The bids that their buyers still stand by, `age_s` after they were made."""
    return [bid for bid in ranked if bid.stands_s is None or age_s <= bid.stands_s]


def without(ranked: Sequence[Bid], orders: Iterable[str] = (), buyers: Iterable[str] = ()) -> list[Bid]:
    """`ranked` without the bids of these orders and buyers."""
    gone_orders, gone_buyers = set(orders), set(buyers)
    return [bid for bid in ranked if bid.order_id not in gone_orders and bid.buyer_id not in gone_buyers]


def _exclusive_mix(ranked: Sequence[Bid], terms: Terms) -> Mix | None:
    """In mode exclusive every bid may win the lead alone; in hybrid only a bid that was made for that."""
    candidates = ranked if terms.mode == "exclusive" else [bid for bid in ranked if bid.exclusive]
    if terms.mode == "shared" or not candidates:
        return None
    best = candidates[0]
    price = best.price_micros
    if terms.pays == "second":
        rivals = (bid.price_micros for bid in candidates[1:] if bid.buyer_id != best.buyer_id)
        price = min(price, max(terms.lowest_price_micros, max(rivals, default=0)))
    return Mix((_win(best, price, terms),), exclusive=True)


def _shared_mix(ranked: Sequence[Bid], terms: Terms, places: int) -> Mix | None:
    chosen: list[Bid] = []
    buyers: set[str] = set()
    best_left_out = 0
    for bid in ranked:
        if bid.exclusive or bid.buyer_id in buyers:
            continue
        if len(chosen) == places:
            best_left_out = max(best_left_out, bid.price_micros)
            continue
        buyers.add(bid.buyer_id)
        chosen.append(bid)
    if not chosen:
        return None
    if terms.pays == "second":  # every winner pays the best price that did not win: one price for all
        price = max(terms.lowest_price_micros, best_left_out)
        wins = tuple(_win(bid, min(bid.price_micros, price), terms) for bid in chosen)
    else:
        wins = tuple(_win(bid, bid.price_micros, terms) for bid in chosen)
    return Mix(wins, exclusive=False)


def _win(bid: Bid, price_micros: int, terms: Terms) -> Win:
    return Win(bid, price_micros, terms.margin.payout_micros(price_micros))


def _tie(ping_id: str, order_id: str) -> bytes:
    return hashlib.blake2b(f"{ping_id}:{order_id}".encode(), digest_size=8).digest()


def _draw(ping_id: str, bid: Bid) -> tuple[float, bytes]:
    """Efraimidis and Spirakis: ascending -ln(u)/weight is a weighted draw without replacement."""
    digest = _tie(ping_id, bid.order_id)
    chance = (int.from_bytes(digest) + 1) / 2**64
    return (-math.log(chance) / bid.weight, digest)
