"""One auction: collecting bids, and the proof that it may close."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.market.reasons import Reason
from auction.ping.auction import Auction
from auction.ping.bids import Mix, choose, rank
from tests.builders import dollars, quote, terms, traded_order


def asked(auction: Auction, **orders: float) -> list[int]:
    slots = [auction.ask(traded_order(name, most=most)) for name, most in orders.items()]
    auction.asks_done()
    return slots


def reasons(auction: Auction) -> dict[str, Reason]:
    return {outcome.order_id: outcome.reason for outcome in auction.outcomes}


def test_it_closes_when_everybody_answered() -> None:
    auction = Auction(terms())
    a, b = asked(auction, a=10, b=10)
    auction.refuse(a, Reason.NO_BID)
    assert not auction.can_close()
    auction.bid(b, [quote(5, False)], 900)
    assert auction.can_close()
    assert reasons(auction) == {"a": Reason.NO_BID, "b": Reason.OUTBID}
    assert auction.outcomes[1].elapsed_us == 900


def test_slots_go_on_from_tier_to_tier() -> None:
    auction = Auction(terms())
    assert auction.ask_all([traded_order("a"), traded_order("b")]) == range(2)
    assert auction.ask_all([traded_order("c")]) == range(2, 3)
    assert [order.id for order in auction.asked] == ["a", "b", "c"]
    assert auction.outstanding == 3


def test_it_closes_early_when_no_max_reaches_the_best_bid() -> None:
    auction = Auction(terms())
    a, b, _ = asked(auction, a=50, b=20, c=19)
    auction.bid(b, [quote(20, False)], 0)
    assert not auction.can_close()
    auction.bid(a, [quote(20, False)], 0)
    assert auction.can_close(), "c can bid 19 at most"


def test_an_equal_max_could_still_win_a_tie() -> None:
    auction = Auction(terms())
    a, _ = asked(auction, a=50, b=20)
    auction.bid(a, [quote(20, False)], 0)
    assert not auction.can_close()


def test_a_second_price_waits_for_the_second_bid() -> None:
    auction = Auction(terms(pays="second"))
    a, b, _ = asked(auction, a=50, b=50, c=10)
    auction.bid(a, [quote(40, False)], 0)
    assert not auction.can_close(), "c could set the price"
    auction.bid(b, [quote(11, False)], 0)
    assert auction.can_close()


def test_a_weighted_auction_never_closes_early() -> None:
    auction = Auction(terms(select="weight"))
    a, _ = asked(auction, a=50, b=1)
    auction.bid(a, [quote(50, False)], 0)
    assert not auction.can_close()


def test_fixed_prices_bid_at_once() -> None:
    auction = Auction(terms())
    auction.fixed(traded_order("f", fixed=12))
    auction.asks_done()
    assert auction.can_close()
    assert [bid.price_micros for bid in auction.bids] == [dollars(12)]


def test_bids_below_the_floor_and_above_the_max_are_refused() -> None:
    auction = Auction(terms(lowest_price_micros=dollars(5)))
    a, b, c = asked(auction, a=10, b=10, c=10)
    auction.bid(a, [quote(4.9999, False)], 0)
    auction.bid(b, [quote(10.0001, False)], 0)
    auction.bid(c, [quote(5, False)], 0)
    assert reasons(auction) == {"a": Reason.BELOW_FLOOR, "b": Reason.OVER_MAX, "c": Reason.OUTBID}
    assert auction.outcomes[0].price_micros == dollars(4.9999), "what was bid is kept for explain"


def test_an_exclusive_price_cannot_share() -> None:
    auction = Auction(terms("shared"))
    (a,) = asked(auction, a=50)
    auction.bid(a, [quote(40, True), quote(12, False)], 0)
    assert [bid.price_micros for bid in auction.bids] == [dollars(12)]
    assert reasons(auction) == {"a": Reason.OUTBID}


def test_a_late_answer_changes_nothing() -> None:
    auction = Auction(terms())
    (a,) = asked(auction, a=50)
    auction.cut_off(Reason.TIMEOUT, 1_000)
    auction.bid(a, [quote(40, False)], 2_000)
    assert auction.bids == []
    assert reasons(auction) == {"a": Reason.TIMEOUT}
    assert not auction.is_open(a)


def test_an_order_without_a_fixed_price_cannot_bid_one() -> None:
    with pytest.raises(AssertionError):
        Auction(terms()).fixed(traded_order("a"))


answers = st.one_of(
    st.none(),
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=1, max_size=2),
)


@given(st.data())
@settings(max_examples=400)
def test_what_comes_after_the_close_could_not_have_changed_the_winners(data: st.DataObject) -> None:
    """The proof of 4.6, against the auction that waits for everybody. In hybrid the price of the winners and the
    payout must be the same; in all modes who wins, and what they pay."""
    mode = data.draw(st.sampled_from(["exclusive", "shared", "hybrid"]))
    pays = "first" if mode == "hybrid" else data.draw(st.sampled_from(["first", "second"]))
    rules = terms(mode, pays=pays, max_buyers=1 if mode == "exclusive" else data.draw(st.integers(1, 3)))
    count = data.draw(st.integers(1, 6))
    orders = [
        traded_order(f"o{n}", buyer=data.draw(st.sampled_from("uvwxyz")), most=data.draw(st.integers(1, 30)))
        for n in range(count)
    ]
    patient, quick = Auction(rules), Auction(rules)
    for order in orders:
        patient.ask(order)
        quick.ask(order)
    patient.asks_done()
    quick.asks_done()
    closed: Mix | None = None
    early = False
    for slot in data.draw(st.permutations(range(count))):
        answer = data.draw(answers)
        for auction in (patient, quick) if not early else (patient,):
            if answer is None:
                auction.refuse(slot, Reason.NO_BID)
            else:
                auction.bid(slot, [quote(price, alone) for price, alone in answer], 0)
        if not early and quick.can_close():
            early = True
            closed = choose(rank(quick.bids, rules, "p"), rules)
    assert early, "it must close when everybody answered"
    assert closed == choose(rank(patient.bids, rules, "p"), rules)
