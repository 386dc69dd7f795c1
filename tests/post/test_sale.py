"""The sale: the table of moves, and the walk of one lead through its buyers, against a model that knows only P1."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.ping.bids import Bid, Win, choice_of, choose, rank
from auction.post.sale import MOVES, ImpossibleMove, LeadState, Move, OfferState, Sale, learnt, moved
from tests.builders import bid, dollars, terms


def sale_of(bids: list[Bid], mode: str, on_reject: str = "next", **more: Any) -> Sale:
    rules = terms(mode, **more)
    ranked = rank(bids, rules, "p")
    mix = choose(ranked, rules)
    assert mix is not None
    return Sale(ranked, mix.wins, rules, on_reject)


def orders(wins: tuple[Win, ...]) -> list[str]:
    return [win.bid.order_id for win in wins]


def test_every_move_that_is_not_in_the_table_raises() -> None:
    for state, move in product(LeadState, Move):
        if (state, move) in MOVES:
            assert moved(state, move) is MOVES[state, move]
        else:
            with pytest.raises(ImpossibleMove):
                moved(state, move)


def test_a_lead_that_ended_is_never_sold_again() -> None:
    for ended in (LeadState.REJECTED, LeadState.RETURNED, LeadState.SOLD, LeadState.CONVERTED):
        with pytest.raises(ImpossibleMove):
            moved(ended, Move.ACCEPT)
        with pytest.raises(ImpossibleMove):
            moved(ended, Move.OFFER)


def test_the_winner_takes_it() -> None:
    sale = sale_of([bid("a", 10), bid("b", 9)], "exclusive")
    assert orders(sale.next_offers()) == ["a"]
    sale.record("a", OfferState.ACCEPTED)
    assert sale.next_offers() == ()
    assert sale.state is LeadState.SOLD
    assert [win.price_micros for win in sale.sold] == [dollars(10)]


def chosen_sale(bids: list[Bid], mode: str, buyer: str, on_reject: str = "next") -> Sale:
    """The sale of a lead whose seller named this buyer."""
    rules = terms(mode)
    ranked = rank(bids, rules, "p")
    mix = choose(ranked, rules)
    assert mix is not None
    return Sale(ranked, mix.wins, rules, on_reject, choice_of(buyer, ranked, mix.wins, rules))


@pytest.mark.parametrize("mode", ["exclusive", "shared", "hybrid"])
def test_whom_the_seller_chose_gets_it_alone(mode: str) -> None:
    sale = chosen_sale([bid("a", 10), bid("b", 9), bid("c", 8)], mode, "buyer-of-b")
    assert orders(sale.next_offers()) == ["b"]
    sale.record("b", OfferState.ACCEPTED)
    assert sale.next_offers() == ()
    assert (sale.state, [win.price_micros for win in sale.sold]) == (LeadState.SOLD, [dollars(9)])


def test_when_the_chosen_one_refuses_the_winners_follow() -> None:
    sale = chosen_sale([bid("a", 10), bid("b", 9), bid("c", 8)], "shared", "buyer-of-b")
    sale.next_offers()
    sale.record("b", OfferState.REJECTED, "no")
    assert orders(sale.next_offers()) == ["a", "c"]
    sale = chosen_sale([bid("a", 10), bid("b", 9)], "exclusive", "buyer-of-b", on_reject="stop")
    sale.next_offers()
    sale.record("b", OfferState.REJECTED, "no")
    assert sale.next_offers() == ()
    assert (sale.state, sale.reason) == (LeadState.REJECTED, "no")


def test_a_rejection_goes_to_the_runner_up() -> None:
    sale = sale_of([bid("a", 10), bid("b", 9)], "exclusive")
    sale.next_offers()
    sale.record("a", OfferState.REJECTED, "duplicate")
    assert orders(sale.next_offers()) == ["b"]
    sale.record("b", OfferState.REJECTED, "bad_phone")
    assert sale.next_offers() == ()
    assert (sale.state, sale.reason) == (LeadState.REJECTED, "bad_phone")


def test_a_campaign_may_stop_at_the_first_rejection() -> None:
    sale = sale_of([bid("a", 10), bid("b", 9)], "exclusive", on_reject="stop")
    sale.next_offers()
    sale.record("a", OfferState.REJECTED, "duplicate")
    assert sale.next_offers() == ()
    assert sale.state is LeadState.REJECTED


def test_an_answer_that_nobody_heard_stops_everything() -> None:
    sale = sale_of([bid("a", 10), bid("b", 9)], "exclusive")
    sale.next_offers()
    sale.record("a", OfferState.UNKNOWN)
    assert sale.next_offers() == ()
    assert sale.state is LeadState.PENDING


def test_a_place_of_a_shared_lead_goes_to_the_next_buyer() -> None:
    sale = sale_of([bid(name, price) for name, price in zip("abcd", (10, 9, 8, 7), strict=True)], "shared")
    assert orders(sale.next_offers()) == ["a", "b", "c"]
    for name, result in zip(
        "abc", (OfferState.ACCEPTED, OfferState.REJECTED, OfferState.UNKNOWN), strict=True
    ):
        sale.record(name, result)
    assert orders(sale.next_offers()) == ["d"]
    sale.record("d", OfferState.ACCEPTED)
    assert sale.next_offers() == ()
    assert sale.state is LeadState.SOLD
    assert [win.bid.order_id for win in sale.sold] == ["a", "d"]


def test_in_hybrid_the_shared_mix_follows_a_rejected_exclusive_buyer() -> None:
    bids = [bid("x", 50, exclusive=True), bid("a", 10), bid("b", 9)]
    sale = sale_of(bids, "hybrid")
    assert orders(sale.next_offers()) == ["x"]
    sale.record("x", OfferState.REJECTED)
    assert orders(sale.next_offers()) == ["a", "b"]


def test_in_hybrid_no_exclusive_buyer_follows_a_shared_sale() -> None:
    bids = [bid("a", 30), bid("b", 25), bid("x", 40, exclusive=True)]
    sale = sale_of(bids, "hybrid")
    assert orders(sale.next_offers()) == ["a", "b"]
    sale.record("a", OfferState.ACCEPTED)
    sale.record("b", OfferState.REJECTED)
    assert sale.next_offers() == ()
    assert sale.state is LeadState.SOLD


def resumed(bids: list[Bid], mode: str, offers: dict[str, OfferState], **more: Any) -> Sale:
    """The sale as another worker finds it."""
    rules = terms(mode, **more)
    ranked = rank(bids, rules, "p")
    mix = choose(ranked, rules)
    assert mix is not None
    known = {one.order_id: Win(one, one.price_micros, one.price_micros) for one in bids}
    return Sale.resumed(
        ranked, mix.wins, rules, "next", [(known[order], state) for order, state in offers.items()]
    )


def test_a_resumed_sale_asks_again_for_what_was_sent_and_goes_on() -> None:
    bids = [bid("a", 10), bid("b", 9), bid("c", 8)]
    sale = resumed(bids, "exclusive", {"a": OfferState.REJECTED, "b": OfferState.SENT})
    assert (sale.state, orders(sale.out)) == (LeadState.OFFERED, ["b"])
    sale.record("b", OfferState.REJECTED)
    assert orders(sale.next_offers()) == ["c"]


def test_a_resumed_sale_that_nobody_was_offered_begins_with_its_winners() -> None:
    sale = resumed([bid("a", 10), bid("b", 9)], "exclusive", {})
    assert (sale.out, orders(sale.next_offers())) == ((), ["a"])


@pytest.mark.parametrize("found", [OfferState.ACCEPTED, OfferState.UNKNOWN])
def test_a_resumed_sale_knows_that_it_is_exclusive(found: OfferState) -> None:
    bids = [bid("x", 50, exclusive=True), bid("a", 10), bid("b", 9)]
    sale = resumed(bids, "hybrid", {"x": found})
    assert sale.next_offers() == ()
    assert sale.state is (LeadState.SOLD if found is OfferState.ACCEPTED else LeadState.PENDING)


def test_a_resumed_shared_sale_fills_the_places_that_are_left() -> None:
    bids = [bid(name, price) for name, price in zip("abcde", (10, 9, 8, 7, 6), strict=True)]
    states = (OfferState.ACCEPTED, OfferState.UNKNOWN, OfferState.REJECTED)
    sale = resumed(bids, "shared", dict(zip("abc", states, strict=True)))
    assert orders(sale.next_offers()) == ["d"]


def test_a_buyer_that_has_the_lead_is_not_offered_it_again_by_whoever_resumes() -> None:
    bids = [bid("a", 10, buyer="ann"), bid("a2", 9, buyer="ann"), bid("b", 8)]
    sale = resumed(bids, "shared", {"a": OfferState.UNKNOWN})
    assert orders(sale.next_offers()) == ["b"]


YES, NO, WHO_KNOWS = OfferState.ACCEPTED, OfferState.REJECTED, OfferState.UNKNOWN


@pytest.mark.parametrize(
    ("state", "others", "answer", "move", "now"),
    [
        (LeadState.PENDING, [], YES, Move.ACCEPT, LeadState.SOLD),
        (LeadState.PENDING, [WHO_KNOWS], YES, Move.ACCEPT, LeadState.SOLD),
        (LeadState.PENDING, [NO], NO, Move.REFUSE, LeadState.REJECTED),
        (LeadState.PENDING, [WHO_KNOWS], NO, Move.RULE_OUT, LeadState.PENDING),
        (LeadState.SOLD, [YES], YES, Move.JOIN, LeadState.SOLD),
        (LeadState.SOLD, [YES, WHO_KNOWS], NO, Move.RULE_OUT, LeadState.SOLD),
        (LeadState.CONVERTED, [YES], YES, Move.JOIN, LeadState.CONVERTED),
    ],
)
def test_what_an_unknown_offer_turns_out_to_be(
    state: LeadState, others: list[OfferState], answer: OfferState, move: Move, now: LeadState
) -> None:
    assert learnt(state, others, answer) is move
    assert moved(state, move) is now


@pytest.mark.parametrize("state", [LeadState.RECEIVED, LeadState.OFFERED, LeadState.REJECTED])
@pytest.mark.parametrize("answer", [YES, NO])
def test_nothing_is_learnt_of_a_lead_that_is_under_way_or_rejected(
    state: LeadState, answer: OfferState
) -> None:
    with pytest.raises(ImpossibleMove):
        moved(state, learnt(state, [], answer))


some_bids = st.lists(
    st.builds(
        bid,
        st.sampled_from([f"o{n}" for n in range(9)]),
        st.integers(1, 30),
        exclusive=st.booleans(),
        buyer=st.sampled_from("vwxyz"),
    ),
    min_size=1,
    max_size=9,
    unique_by=lambda one: one.order_id,
)
results = st.sampled_from([OfferState.ACCEPTED, OfferState.REJECTED, OfferState.UNKNOWN, OfferState.FULL])


@given(st.data(), some_bids, st.sampled_from(["exclusive", "shared", "hybrid"]), st.integers(1, 4))
@settings(max_examples=300)
def test_no_place_is_sold_twice_whatever_buyers_answer(
    data: st.DataObject, bids: list[Bid], mode: str, most: int
) -> None:
    """P1 from outside: count what may have been taken, never ask what the sale thinks."""
    rules = terms(mode, max_buyers=1 if mode == "exclusive" else most)
    ranked = rank(bids, rules, "p")
    mix = choose(ranked, rules)
    if mix is None:
        return
    sale = Sale(ranked, mix.wins, rules, "next")
    taken: list[Win] = []
    offered: set[str] = set()
    accepted = 0
    while wins := sale.next_offers():
        for win in wins:
            assert win.bid.order_id not in offered, "an order is offered a lead once"
            offered.add(win.bid.order_id)
        alone = mode == "exclusive" or any(win.bid.exclusive for win in wins)
        assert len(taken) + len(wins) <= (1 if alone else rules.most_winners)
        for win in wins:
            result = data.draw(results)
            sale.record(win.bid.order_id, result)
            if result in (OfferState.ACCEPTED, OfferState.UNKNOWN):
                taken.append(win)
            accepted += result is OfferState.ACCEPTED
    buyers = [win.bid.buyer_id for win in taken]
    assert len(buyers) == len(set(buyers)), "never twice to a buyer"
    if any(win.bid.exclusive for win in taken) and mode != "shared":
        assert len(taken) == 1, "an exclusive lead has one buyer"
    assert len(sale.sold) == accepted
    expected = LeadState.SOLD if accepted else LeadState.PENDING if taken else LeadState.REJECTED
    assert sale.state is expected
