"""The sale of one lead in any order of answers, losses, crashes, recoveries and settlements.

The model is the buyers: each decides once, when a lead first reaches it, and whether anybody hears of that is another
matter. It knows nothing of how the sale thinks, only who took the lead in truth, and who certainly did not.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from auction.ping.bids import Bid, Win, choices, choose, rank
from auction.post.sale import LeadState, OfferState, Sale, learnt, moved
from tests.builders import bid, terms

some_bids = st.lists(
    st.builds(
        bid,
        st.sampled_from([f"o{n}" for n in range(9)]),
        st.integers(1, 30),
        exclusive=st.booleans(),
        buyer=st.sampled_from("uvwxyz"),
        stands_s=st.sampled_from([None, None, 5, 50]),
    ),
    min_size=3,
    max_size=9,
    unique_by=lambda one: one.order_id,
)
KNOWN = {True: OfferState.ACCEPTED, False: OfferState.REJECTED}


class SaleMachine(RuleBasedStateMachine):
    """One lead. `durable` is what the ledger has of its offers; `sale` is lost in a crash."""

    @initialize(
        bids=some_bids,
        mode=st.sampled_from(["exclusive", "shared", "hybrid", "hybrid"]),
        most=st.integers(1, 4),
        choice=st.none() | st.integers(0, 5),
    )
    def take(self, bids: list[Bid], mode: str, most: int, choice: int | None) -> None:
        """`choice`: the seller names one of the buyers that it was shown."""
        self.terms = terms(mode, max_buyers=1 if mode == "exclusive" else most)
        self.ranked = rank(bids, self.terms, "p")
        mix = choose(self.ranked, self.terms)
        self.age_s = 0
        self.truth: dict[str, bool] = {}  # order → whether its buyer took the lead
        self.wins: dict[str, Win] = {}  # everything that was ever intended
        self.durable: dict[str, OfferState] = {}
        self.heard: dict[str, OfferState] = {}  # since the last durable step
        self.state: LeadState | None = None
        self.sale: Sale | None = None
        self.chosen: Win | None = None
        if mix is None:
            self.held: tuple[Win, ...] = ()
            self.state = LeadState.REJECTED
            return
        self.held = mix.wins
        shown = choices(self.ranked, self.held, self.terms)
        self.chosen = None if choice is None else shown[choice % len(shown)]
        self.sale = Sale(self.ranked, self.held, self.terms, "next", self.chosen)
        self.go_on()

    # -- the way of a post ---------------------------------------------------------------------------

    def go_on(self) -> None:
        """Everybody who was asked has answered: the next are intended, or the lead is settled."""
        assert self.sale is not None
        if self.sale.out:
            return
        self.sale.expire(self.age_s)
        wins = self.sale.next_offers()
        self.durable |= self.heard
        self.heard = {}
        for win in wins:
            assert win.bid.order_id not in self.wins, "an order is offered a lead once"
            promised = win in self.held or win == self.chosen
            assert win.bid.stands_s is None or promised or self.age_s <= win.bid.stands_s
            self.wins[win.bid.order_id] = win
            self.durable[win.bid.order_id] = OfferState.SENT
        if not wins:
            self.state, self.sale = self.sale.state, None

    @precondition(lambda self: self.sale is not None)
    @rule(data=st.data(), takes=st.sampled_from([False, False, True]), lost=st.booleans())
    def a_buyer_is_sent_the_lead(self, data: st.DataObject, takes: bool, lost: bool) -> None:
        """`lost`: nobody hears what it said, or it is not sent again because nobody promised that this is safe."""
        order = self.one_out(data)
        took = self.truth.setdefault(order, takes)
        self.hear(order, OfferState.UNKNOWN if lost else KNOWN[took])

    @rule()
    def time_goes_by(self) -> None:
        self.age_s += 10

    @precondition(lambda self: self.sale is not None)
    @rule(data=st.data())
    def an_offer_is_not_sent(self, data: st.DataObject) -> None:
        order = self.one_out(data)
        if order not in self.truth:
            self.hear(order, data.draw(st.sampled_from([OfferState.FULL, OfferState.NOT_SENT])))

    # -- its worker ends, and another goes on --------------------------------------------------------

    @precondition(lambda self: self.sale is not None)
    @rule(data=st.data(), takes=st.booleans())
    def the_worker_ends(self, data: st.DataObject, takes: bool) -> None:
        """Some were sent the lead by then, and what they said was not durable."""
        assert self.sale is not None
        for win in self.sale.out:
            if data.draw(st.booleans()):
                self.truth.setdefault(win.bid.order_id, takes)
        self.heard = {}
        offers = [(self.wins[order], _kept(state)) for order, state in self.durable.items()]
        self.sale = Sale.resumed(self.ranked, self.held, self.terms, "next", offers, self.chosen)
        sent = {order for order, state in self.durable.items() if state is OfferState.SENT}
        assert {win.bid.order_id for win in self.sale.out} == sent
        self.go_on()

    # -- somebody learns what became of an unknown offer ---------------------------------------------

    @precondition(lambda self: self.state is not None and OfferState.UNKNOWN in self.durable.values())
    @rule(data=st.data())
    def an_unknown_offer_is_settled(self, data: st.DataObject) -> None:
        assert self.state is not None
        unknown = sorted(order for order, state in self.durable.items() if state is OfferState.UNKNOWN)
        order = data.draw(st.sampled_from(unknown))
        answer = KNOWN[self.truth.setdefault(order, False)]
        others = [_kept(state) for one, state in self.durable.items() if one != order]
        self.state = moved(self.state, learnt(self.state, others, answer))
        self.durable[order] = answer

    # -- what must hold ------------------------------------------------------------------------------

    @invariant()
    def no_place_is_taken_twice(self) -> None:
        """P1, in truth, and for whoever knows only who certainly refused."""
        certain = {OfferState.REJECTED, OfferState.FULL, OfferState.NOT_SENT}
        now = {**self.durable, **self.heard}
        may_have = [order for order, state in now.items() if state not in certain]
        took = [order for order, taken in self.truth.items() if taken]
        for orders in (may_have, took):
            buyers = [self.wins[order].bid.buyer_id for order in orders]
            assert len(buyers) == len(set(buyers)), "never twice to a buyer"
            assert len(orders) <= self.terms.most_winners
            if self.terms.mode != "shared" and any(self.wins[order].bid.exclusive for order in orders):
                assert len(orders) == 1, "an exclusive lead has one buyer"

    @invariant()
    def whom_the_seller_chose_has_it_alone(self) -> None:
        """It is asked before all others, and nobody else while it has the lead, or may have it."""
        if self.chosen is None or not self.durable:
            return
        order = self.chosen.bid.order_id
        assert next(iter(self.durable)) == order
        if {**self.durable, **self.heard}[order] in (
            OfferState.ACCEPTED,
            OfferState.UNKNOWN,
            OfferState.SENT,
        ):
            assert list(self.durable) == [order]

    @invariant()
    def the_state_says_what_is_known(self) -> None:
        if self.state is None:
            return
        known = set(self.durable.values())
        sold = OfferState.ACCEPTED in known
        pending = not sold and OfferState.UNKNOWN in known
        expected = LeadState.SOLD if sold else LeadState.PENDING if pending else LeadState.REJECTED
        assert self.state is expected
        assert OfferState.SENT not in known, "whoever was asked has an outcome"
        for order, state in self.durable.items():
            if state is OfferState.ACCEPTED:
                assert self.truth[order], "nothing is sold that nobody took"
            if state is not OfferState.ACCEPTED and state is not OfferState.UNKNOWN:
                assert not self.truth.get(order, False), "nothing is called refused that somebody took"

    def one_out(self, data: st.DataObject) -> str:
        assert self.sale is not None
        return data.draw(st.sampled_from(sorted(win.bid.order_id for win in self.sale.out)))

    def hear(self, order: str, result: OfferState) -> None:
        assert self.sale is not None
        self.sale.record(order, result)
        self.heard[order] = result
        self.go_on()


def _kept(state: OfferState) -> OfferState:
    """The ledger does not tell apart why an offer certainly came to nothing."""
    lasting = (OfferState.SENT, OfferState.ACCEPTED, OfferState.UNKNOWN)
    return state if state in lasting else OfferState.REJECTED


SaleMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=12, deadline=None)
TestSale = SaleMachine.TestCase
