from __future__ import annotations

import json
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buyers_mock.manner import Bidding, FaultDraw, Taking, half, http, sampler
from buyers_mock.script import BidManner, Faults, Manner, OneBid, PostManner, Spike, Spread

amounts = st.floats(0, 1000)
spreads = st.one_of(
    st.builds(Spread, uniform=st.tuples(amounts, amounts), min=st.just(3.0), max=st.just(900.0)),
    st.builds(Spread, normal=st.tuples(amounts, amounts), min=st.just(3.0), max=st.just(900.0)),
    st.builds(Spread, choices=st.lists(amounts, min_size=1).map(tuple), min=st.just(3.0), max=st.just(900.0)),
)


def said(answer: bytes) -> dict[str, object]:
    body: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return body


@given(spread=spreads, seed=st.integers(0, 1000))
@settings(max_examples=60)
def test_what_is_drawn_stays_within_bounds_and_is_the_same_for_the_same_seed(
    spread: Spread, seed: int
) -> None:
    draw = sampler(spread)
    rng, again = Random(seed), Random(seed)
    drawn = [draw(rng) for _ in range(20)]
    assert drawn == [draw(again) for _ in range(20)]
    assert all(3 <= one <= 900 for one in drawn)


def test_a_spike_comes_in_its_share() -> None:
    draw = sampler(Spread(spike=Spike(usual=10, share=0.25, of=400)))
    rng = Random(1)
    drawn = [draw(rng) for _ in range(4000)]
    assert set(drawn) == {10, 400}
    assert 0.2 < drawn.count(400) / 4000 < 0.3


def test_faults_come_in_their_shares() -> None:
    draw = FaultDraw(Faults(error_500=0.1, reset=0.3))
    rng = Random(1)
    drawn = [draw(rng) for _ in range(4000)]
    assert set(drawn) == {"error_500", "reset", None}
    assert 0.07 < drawn.count("error_500") / 4000 < 0.13
    assert 0.26 < drawn.count("reset") / 4000 < 0.34


def test_a_bid_says_price_id_and_expiry() -> None:
    bidding = Bidding("sunrise", Manner(bid=BidManner(price=31.5, exclusive=True, expires_in=90)))
    decision = bidding.decide(Random(1), 4)
    assert decision.outcome == "bid"
    assert said(decision.answer) == {"bid": 31.5, "bid_id": "sunrise-4", "expires_in": 90, "exclusive": True}


def test_several_bids_are_said_at_once() -> None:
    bids = (OneBid(price=40, exclusive=True), OneBid(price=Spread(uniform=(8, 12))))
    answer = said(Bidding("sunrise", Manner(bids=bids)).decide(Random(1), 4).answer)
    assert answer.keys() == {"bids"}
    first, second = msgspec.convert(answer["bids"], list[dict[str, float | str | bool]])
    assert first == {"price": 40.0, "bid_id": "sunrise-4-1", "expires_in": 60, "exclusive": True}
    assert 8 <= float(second["price"]) <= 12
    assert "exclusive" not in second


@pytest.mark.parametrize(("reason", "status"), [(None, b"204"), ("not today", b"200")])
def test_no_bid_is_said_in_both_ways(reason: str | None, status: bytes) -> None:
    manner = Manner(bid=BidManner(share_no_bid=1.0, no_bid_reason=reason))
    decision = Bidding("sunrise", manner).decide(Random(1), 1)
    assert decision.outcome == "no_bid"
    assert decision.answer.startswith(b"HTTP/1.1 " + status)
    if reason is not None:
        assert said(decision.answer) == {"bid": 0, "reason": reason}


def test_a_price_is_never_nothing() -> None:
    manner = Manner(bid=BidManner(price=Spread(normal=(0, 0.001))))
    assert said(Bidding("sunrise", manner).decide(Random(1), 1).answer)["bid"] == 0.01


def test_a_lead_is_taken_or_not() -> None:
    rng = Random(1)
    taking = Taking("sunrise", PostManner(redirect_url="https://example.com/thanks"))
    taken = taking.decide(rng, 3, None)
    assert said(taken.answer) == {
        "status": "accepted",
        "buyer_lead_id": "sunrise-3",
        "redirect_url": "https://example.com/thanks",
    }
    assert said(taking.decide(rng, 4, "cap").answer) == {"status": "rejected", "reason": "cap"}
    picky = Taking("sunrise", PostManner(accept=0, reject_reasons=("too_far",)))
    assert picky.decide(rng, 5, None).reason == "too_far"


def test_half_an_answer_has_its_head_and_promises_more_than_it_has() -> None:
    whole = http("200 OK", b"0123456789")
    assert whole.endswith(half(whole)[-5:] + b"56789")
    assert half(whole).endswith(b"\r\n\r\n01234")
    empty = b"HTTP/1.1 204 No Content\r\n\r\n"
    assert b"\r\n\r\n" not in half(empty)
