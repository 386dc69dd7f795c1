"""The sale of one lead, pure: the only place where a lead's state moves.

Two things live here. The **table** of moves a lead can make, from the first offer to its last postback; an
impossible move raises. And **`Sale`**, which walks the post's way: whom to offer the lead to next, and what the lead
is when the answers are in. It takes the bids in the order that the ping ranked them and the results as they
come; it sends nothing.

The rule that everything else serves (P1): a place counts as taken from the moment an offer leaves until the
buyer has *certainly* refused it. An answer that nobody heard is a place taken, so nothing is sold twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from auction.ping.bids import Bid, Mix, Terms, Win, choose, standing, without


class LeadState(StrEnum):
    """Where a lead stands."""

    RECEIVED = "received"
    OFFERED = "offered"
    SOLD = "sold"
    REJECTED = "rejected"
    PENDING = "pending"
    WAITING = "waiting"
    DELIVERED = "delivered"
    CONVERTED = "converted"
    RETURNED = "returned"


class Move(StrEnum):
    """What happens to a lead."""

    OFFER = "offer"
    WAIT = "wait"
    TAKE_OVER = "take over"
    ACCEPT = "accept"
    REFUSE = "refuse"
    LOSE = "lose"
    JOIN = "join"
    RULE_OUT = "rule out"
    DELIVER = "deliver"
    CONVERT = "convert"
    RETURN = "return"
    RETURN_PART = "return in part"


S, M = LeadState, Move
MOVES: dict[tuple[LeadState, Move], LeadState] = {
    # the post's way
    (S.RECEIVED, M.OFFER): S.OFFERED,
    (S.RECEIVED, M.REFUSE): S.REJECTED,
    # a lead that nobody buys yet, where its door and campaign let it wait
    (S.RECEIVED, M.WAIT): S.WAITING,
    (S.WAITING, M.OFFER): S.OFFERED,
    (S.WAITING, M.REFUSE): S.REJECTED,
    (S.OFFERED, M.WAIT): S.WAITING,
    # and on
    (S.OFFERED, M.OFFER): S.OFFERED,
    (S.OFFERED, M.TAKE_OVER): S.OFFERED,
    (S.OFFERED, M.ACCEPT): S.SOLD,
    (S.OFFERED, M.REFUSE): S.REJECTED,
    (S.OFFERED, M.LOSE): S.PENDING,
    # what becomes known of an unknown offer
    (S.PENDING, M.ACCEPT): S.SOLD,
    (S.PENDING, M.REFUSE): S.REJECTED,
    (S.PENDING, M.RULE_OUT): S.PENDING,
    (S.SOLD, M.JOIN): S.SOLD,
    (S.SOLD, M.RULE_OUT): S.SOLD,
    (S.DELIVERED, M.JOIN): S.DELIVERED,
    (S.DELIVERED, M.RULE_OUT): S.DELIVERED,
    (S.CONVERTED, M.JOIN): S.CONVERTED,
    (S.CONVERTED, M.RULE_OUT): S.CONVERTED,
    (S.RETURNED, M.JOIN): S.SOLD,
    (S.RETURNED, M.RULE_OUT): S.RETURNED,
    # what buyers tell later
    (S.SOLD, M.DELIVER): S.DELIVERED,
    (S.SOLD, M.CONVERT): S.CONVERTED,
    (S.SOLD, M.RETURN): S.RETURNED,
    (S.SOLD, M.RETURN_PART): S.SOLD,
    (S.DELIVERED, M.DELIVER): S.DELIVERED,
    (S.DELIVERED, M.CONVERT): S.CONVERTED,
    (S.DELIVERED, M.RETURN): S.RETURNED,
    (S.DELIVERED, M.RETURN_PART): S.DELIVERED,
    (S.CONVERTED, M.DELIVER): S.CONVERTED,
    (S.CONVERTED, M.CONVERT): S.CONVERTED,
    (S.CONVERTED, M.RETURN): S.RETURNED,
    (S.CONVERTED, M.RETURN_PART): S.CONVERTED,
}
"""Every move that there is. What is not in the table is impossible. `docs/sale.md` is made from it."""

STATE_MEANS: dict[LeadState, str] = {
    S.RECEIVED: "the post is read, and nobody was offered the lead",
    S.OFFERED: "the intent to offer it is durable; one worker has it in hand",
    S.SOLD: "one buyer at least certainly took it",
    S.REJECTED: "everybody who was offered it certainly refused, or nobody was",
    S.PENDING: "nobody certainly took it, and of one buyer at least it is not known",
    S.WAITING: "nobody bids for it yet; it is auctioned again now and then, until its time is over",
    S.DELIVERED: "a buyer reached the person, and a sale stands",
    S.CONVERTED: "a buyer did business with the person, and a sale stands",
    S.RETURNED: "every buyer that took it gave it back",
}
MOVE_MEANS: dict[Move, str] = {
    M.OFFER: "the intent to send it to one buyer or several is written, then it is sent",
    M.WAIT: "nobody bid, and it may wait; or it was to be offered after waiting, and nothing could be sent",
    M.TAKE_OVER: "its worker ended or was fenced; another has it in hand from now on",
    M.ACCEPT: "the first buyer that certainly took it",
    M.REFUSE: "the last buyer that might have taken it certainly did not; or nobody is to be offered it",
    M.LOSE: "every buyer has answered or will not, and of one at least nobody knows what it did",
    M.JOIN: "of a shared lead that others bought, an unknown offer turns out to be accepted",
    M.RULE_OUT: "an unknown offer turns out to be refused, and the lead stays what it was",
    M.DELIVER: "a postback: a buyer reached the person",
    M.CONVERT: "a postback: there was business, or its value",
    M.RETURN: "a postback: the last buyer that had it gives it back",
    M.RETURN_PART: "a postback: of a shared lead one buyer gives it back, and others keep it",
}


class SaleState(StrEnum):
    """Where one sale of a lead stands; a shared lead has several."""

    SOLD = "sold"
    DELIVERED = "delivered"
    CONVERTED = "converted"
    RETURNED = "returned"


SALE_MOVES: dict[tuple[SaleState, Move], SaleState] = {
    (SaleState.SOLD, M.DELIVER): SaleState.DELIVERED,
    (SaleState.SOLD, M.CONVERT): SaleState.CONVERTED,
    (SaleState.SOLD, M.RETURN): SaleState.RETURNED,
    (SaleState.DELIVERED, M.CONVERT): SaleState.CONVERTED,
    (SaleState.DELIVERED, M.RETURN): SaleState.RETURNED,
    (SaleState.CONVERTED, M.CONVERT): SaleState.CONVERTED,
    (SaleState.CONVERTED, M.RETURN): SaleState.RETURNED,
}
"""Every move of one sale. Its lead is as far as any of its buyers has told, until no sale of it stands."""


class ImpossibleMove(Exception):  # noqa: N818  (it says what was asked)
    """A lead was asked to make a move that its state does not have: a bug, or a message out of order."""


def moved(state: LeadState, move: Move) -> LeadState:
    """The state after `move`. Raises `ImpossibleMove`."""
    try:
        return MOVES[state, move]
    except KeyError:
        raise ImpossibleMove(f"a lead that is {state} cannot {move}") from None


def moved_later(
    lead: LeadState, sale: SaleState, others: Iterable[SaleState], move: Move
) -> tuple[SaleState, LeadState]:
    """One of a lead's sales makes a `move`: what that sale is then, and what the lead. Raises `ImpossibleMove`.

    `others` are the lead's other sales: a lead is returned when the last of its sales is.
    """
    try:
        sale_now = SALE_MOVES[sale, move]
    except KeyError:
        raise ImpossibleMove(f"a sale that is {sale} cannot {move}") from None
    if move is Move.RETURN and any(other is not SaleState.RETURNED for other in others):
        move = Move.RETURN_PART
    return sale_now, moved(lead, move)


class OfferState(StrEnum):
    """What became of one offer. `FULL` and `NOT_SENT` never left the house."""

    SENT = "sent"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    FULL = "full"
    NOT_SENT = "not_sent"


def learnt(state: LeadState, others: Iterable[OfferState], answer: OfferState) -> Move:
    """The move of a lead that is `state` when one of its unknown offers turns out to be `answer`.

    `others` are the lead's other offers. Where the table does not have the move, `moved` raises.
    """
    assert answer in (OfferState.ACCEPTED, OfferState.REJECTED), answer
    if answer is OfferState.ACCEPTED:
        return Move.ACCEPT if state is LeadState.PENDING else Move.JOIN
    alone = state is LeadState.PENDING and OfferState.UNKNOWN not in others
    return Move.REFUSE if alone else Move.RULE_OUT


class Sale:
    """One lead on its way to its buyers.

    `next_offers` names whom to offer it to; every offer it names must be answered by one call of `record` before the
    next `next_offers`. When it names nobody, `state` is the lead's, and `sold` what was sold.
    """

    def __init__(
        self,
        ranked: list[Bid],
        wins: tuple[Win, ...],
        terms: Terms,
        on_reject: str,
        chosen: Win | None = None,
        state: LeadState = LeadState.RECEIVED,
    ) -> None:
        """`chosen` is the bid that the seller named: it gets the lead alone, before the winners of the ping. If it
        certainly does not, the sale goes on by the campaign's `on_reject`, as if none had been named. `state` is where
        the lead stands before anybody was offered it: received, or waiting."""
        self.state = state
        self.sold: list[Win] = []
        self.reason: str | None = None
        self._left = ranked
        self._terms = terms
        self._on_reject = on_reject
        self._held: tuple[Win, ...] = wins if chosen is None else (chosen,)
        self._chosen = None if chosen is None else chosen.bid.order_id
        self._out: dict[str, Win] = {}
        self._unknown: list[Win] = []
        self._exclusive = len(self._held) == 1 and self._alone(self._held[0])

    @classmethod
    def resumed(
        cls,
        ranked: list[Bid],
        wins: tuple[Win, ...],
        terms: Terms,
        on_reject: str,
        offers: Sequence[tuple[Win, OfferState]],
        chosen: Win | None = None,
    ) -> Sale:
        """The sale of a lead that another worker began, from what is durable: its offers as they stand.

        Those that are `SENT` are `out`: each is to be answered by one call of `record`, as ever.
        """
        sale = cls(ranked, wins, terms, on_reject, chosen)
        if not offers:
            return sale
        sale.state = moved(moved(sale.state, Move.OFFER), Move.TAKE_OVER)
        sale._held = ()
        for win, state in offers:
            if state is OfferState.SENT:
                sale._out[win.bid.order_id] = win
            elif state is OfferState.ACCEPTED:
                sale.sold.append(win)
            elif state is OfferState.UNKNOWN:
                sale._unknown.append(win)
        sale._left = without(ranked, buyers=[win.bid.buyer_id for win, _ in offers])
        sale._exclusive = any(map(sale._alone, [*sale.sold, *sale._unknown, *sale.out]))
        return sale

    @property
    def out(self) -> tuple[Win, ...]:
        """The offers that are not answered yet."""
        return tuple(self._out.values())

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
        if self._on_reject == "stop" or (self.taken and self._exclusive) or self._chosen_has_it():
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

    def _chosen_has_it(self) -> bool:
        """Whether the buyer that the seller named took the lead, or may have."""
        return any(win.bid.order_id == self._chosen for win in [*self.sold, *self._unknown])

    def _alone(self, win: Win) -> bool:
        return self._terms.mode == "exclusive" or win.bid.exclusive

    def _buyers(self) -> set[str]:
        return {win.bid.buyer_id for win in [*self.sold, *self._unknown]}


def payout_micros(wins: Iterable[Win]) -> int:
    """What the seller gets for these sales."""
    return sum(win.payout_micros for win in wins)
