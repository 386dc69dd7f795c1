"""What all posts of this worker add up to: states, money, times, and what each buyer did. Read by `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable

from auction.ping.bids import Win
from auction.ping.offer import OpenPing
from auction.post.sale import LeadState, OfferState
from auction.tally import WAIT_US, Histogram, counts

SENT = (OfferState.ACCEPTED, OfferState.REJECTED, OfferState.UNKNOWN)
"""What an offer came to that left the house."""


class PostTally:
    """Counts every post once, when its outcome is durable, and every offer when it was answered.

    Money is that of leads sold here and now: no tests, and nothing that is settled later.
    """

    def __init__(self) -> None:
        self.states = counts()  # (state,)
        self.offers = counts()  # (buyer, outcome)
        self.money_micros = counts()  # (campaign, price or payout or margin)
        self.whole_us = Histogram(WAIT_US)
        self.trips_us = {state.value: Histogram(WAIT_US) for state in SENT}

    def settled(self, ping: OpenPing, state: LeadState, sold: Iterable[Win]) -> None:
        """One lead has come to `state`, durably."""
        self.states[(state.value,)] += 1
        if ping.test:
            return
        money, campaign = self.money_micros, ping.campaign
        for win in sold:
            money[campaign, "price"] += win.price_micros
            money[campaign, "payout"] += win.payout_micros
            money[campaign, "margin"] += win.price_micros - win.payout_micros

    def offered(self, buyer_id: str, state: OfferState, elapsed_us: int) -> None:
        """What one offer came to, its repetitions included."""
        self.offers[buyer_id, state.value] += 1
        if (trips := self.trips_us.get(state.value)) is not None:
            trips.add(elapsed_us)
