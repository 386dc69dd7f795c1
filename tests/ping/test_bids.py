"""Ranking and choosing: the rules of who wins, and at what price."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.market.money import Margin
from auction.ping.bids import Bid, Terms, choice_of, choices, choose, leading_equals, rank, without
from tests.builders import bid, dollars, terms


def winners(bids: list[Bid], rules: Terms, ping_id: str = "p") -> list[tuple[str, int]]:
    mix = choose(rank(bids, rules, ping_id), rules)
    return [] if mix is None else [(win.bid.order_id, win.price_micros) for win in mix.wins]


def test_the_highest_bid_wins_alone() -> None:
    assert winners([bid("a", 10), bid("b", 12), bid("c", 11)], terms()) == [("b", dollars(12))]


def test_nobody_wins_without_bids() -> None:
    assert winners([], terms()) == []
    assert winners([], terms("hybrid")) == []


def test_priority_breaks_a_tie_of_price() -> None:
    assert winners([bid("a", 10), bid("b", 10, priority=1)], terms()) == [("b", dollars(10))]


def test_ties_are_fair_over_pings_and_repeatable_for_one() -> None:
    bids = [bid(name, 10) for name in "abc"]
    won = Counter(winners(bids, terms(), f"ping-{n}")[0][0] for n in range(3_000))
    assert all(850 < count < 1_150 for count in won.values()), won
    assert winners(bids, terms(), "ping-7") == winners(list(reversed(bids)), terms(), "ping-7")


def test_a_round_robin_decides_among_equals_only() -> None:
    bids = [bid("a", 10), bid("b", 10), bid("c", 9)]
    rules = terms(select="turn")
    ranked = rank(bids, rules, "p", {"b": 0, "a": 1})
    assert [one.order_id for one in ranked] == ["b", "a", "c"]
    assert sorted(leading_equals(ranked)) == ["a", "b"]


def test_weights_draw_in_proportion_whatever_the_price() -> None:
    bids = [bid("heavy", 5, weight=3), bid("light", 50, weight=1)]
    won = Counter(winners(bids, terms(select="weight"), f"ping-{n}")[0][0] for n in range(4_000))
    assert 2_850 < won["heavy"] < 3_150, won


def test_second_price_pays_the_best_bid_of_another_buyer() -> None:
    rules = terms(pays="second", lowest_price_micros=dollars(3))
    assert winners([bid("a", 10), bid("b", 7)], rules) == [("a", dollars(7))]
    assert winners([bid("a", 10)], rules) == [("a", dollars(3))]
    own = [bid("a", 10, buyer="one"), bid("b", 9, buyer="one"), bid("c", 4)]
    assert winners(own, rules) == [("a", dollars(4))]


def test_shared_winners_are_the_best_bids_of_different_buyers() -> None:
    bids = [bid("a", 10, buyer="one"), bid("b", 9, buyer="one"), bid("c", 8), bid("d", 7), bid("e", 6)]
    assert [order for order, _ in winners(bids, terms("shared"))] == ["a", "c", "d"]


def test_shared_second_price_is_one_price_for_all() -> None:
    bids = [bid("a", 10), bid("b", 9), bid("c", 8), bid("d", 5)]
    assert winners(bids, terms("shared", pays="second")) == [(order, dollars(5)) for order in "abc"]


def test_hybrid_takes_what_pays_the_seller_more() -> None:
    shared = [bid("a", 10), bid("b", 9)]
    assert winners([*shared, bid("x", 18, exclusive=True)], terms("hybrid"))[0][0] == "a"
    assert winners([*shared, bid("x", 19, exclusive=True)], terms("hybrid")) == [("x", dollars(19))]


def test_a_margin_counts_in_the_choice() -> None:
    """Two shared leads cost the fixed margin twice, so the exclusive bid pays the seller more."""
    rules = terms("hybrid", margin=Margin(amount_micros=dollars(3)))
    assert winners([bid("a", 10), bid("b", 9), bid("x", 17, exclusive=True)], rules) == [("x", dollars(17))]


def test_after_a_sale_only_shared_bids_can_follow() -> None:
    ranked = rank([bid("x", 50, exclusive=True), bid("a", 10), bid("b", 9)], terms("hybrid"), "p")
    mix = choose(ranked, terms("hybrid"), places=1, shared_only=True)
    assert mix is not None
    assert [win.bid.order_id for win in mix.wins] == ["a"]
    assert choose(ranked, terms("hybrid"), places=0, shared_only=True) is None


def test_without_leaves_out_orders_and_buyers() -> None:
    bids = [bid("a", 1, buyer="one"), bid("b", 1, buyer="one"), bid("c", 1)]
    assert [one.order_id for one in without(bids, orders=["a"])] == ["b", "c"]
    assert [one.order_id for one in without(bids, buyers=["one"])] == ["c"]


some_bids = st.lists(
    st.builds(
        bid,
        st.sampled_from([f"o{n}" for n in range(8)]),
        st.integers(1, 30),
        exclusive=st.booleans(),
        buyer=st.sampled_from(["x", "y", "z", "w", "v"]),
    ),
    max_size=8,
    unique_by=lambda one: one.order_id,
)


@given(some_bids, st.integers(1, 4), st.integers(0, 400_000))
def test_hybrid_finds_the_mix_that_pays_most(bids: list[Bid], most: int, share_ppm: int) -> None:
    """Against every mix there is: one exclusive bid, or up to `most` shared bids of different buyers."""
    rules = terms("hybrid", max_buyers=most, margin=Margin(share_ppm=share_ppm))
    payout = rules.margin.payout_micros
    best = max((payout(one.price_micros) for one in bids if one.exclusive), default=0)
    shared = [one for one in bids if not one.exclusive]
    for size in range(1, most + 1):
        for mix in combinations(shared, size):
            if len({one.buyer_id for one in mix}) == size:
                best = max(best, sum(payout(one.price_micros) for one in mix))
    chosen = choose(rank(bids, rules, "p"), rules)
    assert (chosen.payout_micros if chosen else 0) == best


@given(some_bids, st.sampled_from(["exclusive", "shared"]), st.integers(0, 20))
def test_second_price_is_never_above_the_bid_nor_below_the_floor(
    bids: list[Bid], mode: str, floor: int
) -> None:
    rules = terms(mode, pays="second", lowest_price_micros=dollars(floor))
    above = [one for one in bids if one.price_micros >= dollars(floor)]
    mix = choose(rank(above, rules, "p"), rules)
    for win in mix.wins if mix else ():
        assert dollars(floor) <= win.price_micros <= win.bid.price_micros


@pytest.mark.parametrize("mode", ["shared", "hybrid"])
def test_no_buyer_wins_twice(mode: str) -> None:
    bids = [bid(f"o{n}", 10 + n, buyer="same") for n in range(4)]
    assert len(winners(bids, terms(mode))) == 1


def test_a_seller_may_choose_among_all_that_bid_each_at_its_own_price() -> None:
    """One choice a buyer, the best first; in a second-price auction each at what it would have won for."""
    bids = [bid("a", 30), bid("b", 25), bid("b2", 24, buyer="buyer-of-b"), bid("c", 20)]
    for pays, prices in (("first", [30, 25, 20]), ("second", [25, 20, 5])):
        rules = terms(pays=pays, lowest_price_micros=dollars(5))
        ranked = rank(bids, rules, "p")
        mix = choose(ranked, rules)
        assert mix is not None
        found = choices(ranked, mix.wins, rules)
        assert [win.bid.order_id for win in found] == ["a", "b", "c"]
        assert [win.price_micros for win in found] == [dollars(price) for price in prices]
        assert choice_of("buyer-of-c", ranked, mix.wins, rules) == found[2]
        assert choice_of("buyer-of-d", ranked, mix.wins, rules) is None


def test_a_winner_is_chosen_at_the_price_that_its_place_is_held_for() -> None:
    """Though it would pay more for the lead alone: its place in its caps is for what it won."""
    alone, shared = bid("a", 40, exclusive=True), bid("a", 30)
    rules = terms("hybrid")
    ranked = rank([alone, shared, bid("b", 25)], rules, "p")
    mix = choose(ranked, rules)
    assert mix is not None
    assert {win.bid for win in mix.wins} == {shared, ranked[2]}
    assert choice_of("buyer-of-a", ranked, mix.wins, rules) == mix.wins[0]
