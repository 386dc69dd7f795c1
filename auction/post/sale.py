"""The sale of one lead, pure: the only place where a lead's state moves.

Two things live here. The **table** of moves a lead can make, from the first offer to its last postback; an
impossible move raises. And **`Sale`**, which walks the post's way: whom to offer the lead to next, and what the lead
is when the answers are in. It takes the bids in the order that the ping ranked them and the results as they
come; it sends nothing.

The rule that everything else serves (P1): a place counts as taken from the moment an offer leaves until the
buyer has *certainly* refused it. An answer that nobody heard is a place taken, so nothing is sold twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from auction.ping.bids import Bid, Mix, Terms, Win, choose, standing, without


class LeadState(StrEnum):
    """Where a lead stands."""

    RECEIVED = "received"
    OFFERED = "offered"
    SOLD = "sold"
    REJECTED = "rejected"
    PENDING = "pending"
    DELIVERED = "delivered"
    CONVERTED = "converted"
    RETURNED = "returned"


class Move(StrEnum):
    """What happens to a lead."""

    OFFER = "offer"
    ACCEPT = "accept"
    REFUSE = "refuse"
    LOSE = "lose"  # nobody knows whether the buyer took it
    DELIVER = "deliver"
    CONVERT = "convert"
    RETURN = "return"


S, M = LeadState, Move
MOVES: dict[tuple[LeadState, Move], LeadState] = {
    (S.RECEIVED, M.OFFER): S.OFFERED,
    (S.RECEIVED, M.REFUSE): S.REJECTED,
    (S.OFFERED, M.OFFER): S.OFFERED,
    (S.OFFERED, M.ACCEPT): S.SOLD,
    (S.OFFERED, M.REFUSE): S.REJECTED,
    (S.OFFERED, M.LOSE): S.PENDING,
    (S.PENDING, M.ACCEPT): S.SOLD,
    (S.PENDING, M.REFUSE): S.REJECTED,
    (S.SOLD, M.DELIVER): S.DELIVERED,
    (S.SOLD, M.CONVERT): S.CONVERTED,
    (S.SOLD, M.RETURN): S.RETURNED,
    (S.DELIVERED, M.CONVERT): S.CONVERTED,
    (S.DELIVERED, M.RETURN): S.RETURNED,
    (S.CONVERTED, M.RETURN): S.RETURNED,
}
"""Every move that there is. What is not in the table is impossible."""


class ImpossibleMove(Exception):  # noqa: N818  (it says what was asked)
    """A lead was asked to make a move that its state does not have: a bug, or a message out of order."""


def moved(state: LeadState, move: Move) -> LeadState:
    """The state after `move`. Raises `ImpossibleMove`."""
    try:
        return MOVES[state, move]
    except KeyError:
        raise ImpossibleMove(f"a lead that is {state} cannot {move}") from None


class OfferState(StrEnum):
    """What became of one offer. `FULL` and `NOT_SENT` never left the house."""

    SENT = "sent"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    FULL = "full"
    NOT_SENT = "not_sent"


class Sale:
    """One lead on its way to its buyers.

    `next_offers` names whom to offer it to; every offer it names must be answered by one call of `record` before the
    next `next_offers`. When it names nobody, `state` is the lead's, and `sold` what was sold.
    """

    def __init__(self, ranked: list[Bid], wins: tuple[Win, ...], terms: Terms, on_reject: str) -> None:
        self.state = LeadState.RECEIVED
        self.sold: list[Win] = []
        self.reason: str | None = None
        self._left = ranked
        self._terms = terms
        self._on_reject = on_reject
        self._held: tuple[Win, ...] = wins
        self._out: dict[str, Win] = {}
        self._unknown: list[Win] = []
        self._exclusive = len(wins) == 1 and (terms.mode == "exclusive" or wins[0].bid.exclusive)

    @property
    def taken(self) -> int:
        """Places that are sold, or may be: accepted offers, offers that are out, and unknown ones."""
        return len(self.sold) + len(self._unknown) + len(self._out)

    def next_offers(self) -> tuple[Win, ...]:
        """Whom to offer the lead to now; empty when the sale is over (and `state` is settled)."""
        assert not self._out, "an offer is still out"
        wins = self._choose()
        if not wins:
            self._end()
            return ()
        self._exclusive = self.taken == 0 and len(wins) == 1 and self._alone(wins[0])
        for win in wins:
            assert win.bid.buyer_id not in self._buyers(), f"{win.bid.buyer_id} has this lead"
            self._out[win.bid.order_id] = win
        # One bid a buyer and lead: what is offered now leaves the ranking with its buyer's other bids.
        self._left = without(self._left, buyers=[win.bid.buyer_id for win in wins])
        self.state = moved(self.state, Move.OFFER)
        return wins

    def record(self, order_id: str, result: OfferState, reason: str | None = None) -> None:
        """The answer to one offer."""
        win = self._out.pop(order_id)
        if result is OfferState.ACCEPTED:
            self.sold.append(win)
        elif result is OfferState.UNKNOWN:
            self._unknown.append(win)
        else:
            assert result is not OfferState.SENT, "an answer is not an offer"
            self.reason = reason or result.value

    def expire(self, age_s: float) -> None:
        """Bids that their buyers do not stand by any more, `age_s` after the ping, are not taken up."""
        self._left = standing(self._left, age_s)

    def stop(self, reason: str) -> None:
        """The sale is over with what there is: whom `next_offers` named last is not offered the lead after all."""
        self._out.clear()
        self.reason = reason
        self._end()

    def _choose(self) -> tuple[Win, ...]:
        if self._held:  # the ping's own winners come first: they were promised a place
            wins, self._held = self._held, ()
            return wins
        if self._on_reject == "stop" or (self.taken and self._exclusive):
            return ()
        places = self._terms.most_winners - self.taken
        mix: Mix | None = choose(self._left, self._terms, places=places, shared_only=self.taken > 0)
        return mix.wins if mix else ()

    def _end(self) -> None:
        if self.sold:
            self.state = moved(self.state, Move.ACCEPT)
        elif self._unknown:
            self.state = moved(self.state, Move.LOSE)
        else:
            self.state = moved(self.state, Move.REFUSE)
            self.reason = self.reason or "no_buyer"

    def _alone(self, win: Win) -> bool:
        return self._terms.mode == "exclusive" or win.bid.exclusive

    def _buyers(self) -> set[str]:
        return {win.bid.buyer_id for win in [*self.sold, *self._unknown]}


def payout_micros(wins: Iterable[Win]) -> int:
    """What the seller gets for these sales."""
    return sum(win.payout_micros for win in wins)
