from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.buyers.protocol import (
    Accepted,
    Bid,
    NoBid,
    Offered,
    PingBody,
    Refused,
    Rejected,
    Unknown,
    order_json,
    post_body,
    read_bids,
    read_post,
)
from auction.market.money import from_wire
from auction.market.reasons import Reason

MAX = 80_000_000


def read(answer: Any, status: int = 200, *, exclusive: bool = True, max_micros: int = MAX) -> Any:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return read_bids(status, body, max_micros=max_micros, order_exclusive=exclusive)


def test_the_body_of_a_ping() -> None:
    lead = {"state": "TX", "zip": "75001", "bill": 150, "own": True}
    body = PingBody(
        ping_id="p1", campaign="solar", floor_micros=10_500_000, currency="USD", test=False, lead=lead
    )
    expected = {
        "ping_id": "p1",
        "campaign": "solar",
        "floor": 10.5,
        "currency": "USD",
        "test": False,
        "lead": lead,
    }
    for order, tmax_ms in (("a", 300), ("b-ü", 5)):
        sent = json.loads(body.for_order(order_json(order), tmax_ms))
        assert sent == expected | {"order": order, "tmax": tmax_ms}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"bid": 31.5, "bid_id": "b1", "expires_in": 60}, Offered((Bid(31_500_000, True, "b1", 60),))),
        ({"bid": 31}, Offered((Bid(31_000_000, True),))),
        ({"bid": 80}, Offered((Bid(80_000_000, True),))),
        ({"bid": 8.2, "more": {"x": [1]}}, Offered((Bid(8_200_000, True),))),
        ({"bid": 1.23456}, Offered((Bid(1_234_500, True),))),
        ({"bid": 1, "expires_in": 59.9}, Offered((Bid(1_000_000, True, None, 59),))),
        ({"bid": 1, "expires_in": 1e300}, Offered((Bid(1_000_000, True, None, 86_400),))),
        (
            {"bids": [{"price": 40, "exclusive": True, "bid_id": "x"}, {"price": 12, "exclusive": False}]},
            Offered((Bid(40_000_000, True, "x"), Bid(12_000_000, False))),
        ),
        ({"bids": [{"price": 4}]}, Offered((Bid(4_000_000, True),))),
        ({"bids": [{"price": 0}, {"price": 4}]}, Offered((Bid(4_000_000, True),))),
        ({"bid": 0, "bids": [{"price": 4}]}, Offered((Bid(4_000_000, True),))),
        ({"bid": 0, "reason": "filtered"}, NoBid("filtered")),
        ({"bid": 0}, NoBid()),
        ({"bid": None}, NoBid()),
        ({"bid": 0.00001}, NoBid()),
        ({}, NoBid()),
        ({"bids": []}, NoBid()),
        ({"bids": [{"price": 0}]}, NoBid()),
        ({"bid": -1}, Refused(Reason.BAD_PRICE)),
        ({"bid": 1_000_001}, Refused(Reason.BAD_PRICE)),
        ({"bids": [{"price": 4}, {"price": -4}]}, Refused(Reason.BAD_PRICE)),
        ({"bid": 80.01}, Refused(Reason.OVER_MAX)),
        ({"bids": [{"price": 4}, {"price": 81}]}, Refused(Reason.OVER_MAX)),
        ({"bid": "31.50"}, Refused(Reason.BAD_ANSWER)),
        ({"bid": True}, Refused(Reason.BAD_ANSWER)),
        ({"bid": 1, "bid_id": 7}, Refused(Reason.BAD_ANSWER)),
        ({"bid": 1, "expires_in": 0}, Refused(Reason.BAD_ANSWER)),
        ({"bid": 1, "expires_in": -5}, Refused(Reason.BAD_ANSWER)),
        ({"bid": 1, "bids": [{"price": 2}]}, Refused(Reason.BAD_ANSWER)),
        ({"bids": [{"price": 1}] * 9}, Refused(Reason.BAD_ANSWER)),
        ({"bids": [{}]}, Refused(Reason.BAD_ANSWER)),
        ([1], Refused(Reason.BAD_ANSWER)),
        (b"", Refused(Reason.BAD_ANSWER)),
        (b"{", Refused(Reason.BAD_ANSWER)),
        (b'{"bid":1}x', Refused(Reason.BAD_ANSWER)),
        (b'{"bid":NaN}', Refused(Reason.BAD_ANSWER)),
        (b'{"bid":Infinity}', Refused(Reason.BAD_ANSWER)),
        (b'{"bid_id":"\xff\xfe"}', Refused(Reason.BAD_ANSWER)),
        (b'{"bid":1,"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}", Refused(Reason.BAD_ANSWER)),
    ],
)
def test_answers_to_a_ping(answer: Any, expected: Offered | NoBid | Refused) -> None:
    assert read(answer) == expected


def test_a_number_beyond_floats_is_no_price() -> None:
    assert isinstance(read(b'{"bid":1e999}'), Refused)


@pytest.mark.parametrize("status", [201, 301, 400, 404, 429, 500, 503])
def test_another_status_is_no_answer(status: int) -> None:
    assert read({"bid": 5}, status) == Refused(Reason.HTTP_STATUS, f"HTTP {status}")


def test_204_is_no_bid() -> None:
    assert read(b"", 204) == NoBid()


def test_a_plain_bid_has_its_orders_exclusivity() -> None:
    assert read({"bid": 1}, exclusive=False).bids[0].exclusive is False
    assert read({"bids": [{"price": 1}]}, exclusive=False).bids[0].exclusive is False
    assert read({"bids": [{"price": 1, "exclusive": True}]}, exclusive=False).bids[0].exclusive is True


def test_texts_are_cut_and_cleaned() -> None:
    assert read({"reason": "a\nb\u202ec\x00" + "d" * 300}) == NoBid("abc" + "d" * 194)
    assert read({"bid": 1, "bid_id": "x" * 300}).bids[0].bid_id == "x" * 200


@given(st.decimals(min_value=0, max_value=80, places=4))
def test_every_price_of_four_decimals_is_read_exactly(price: Any) -> None:
    expected = from_wire(str(price))
    outcome = read(b'{"bid":%b}' % str(price).encode())
    assert outcome == (Offered((Bid(expected, True),)) if expected else NoBid())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
answers = st.fixed_dictionaries(
    {},
    optional={
        "bid": json_values,
        "bid_id": json_values,
        "expires_in": json_values,
        "reason": json_values,
        "bids": st.lists(
            st.fixed_dictionaries({}, optional={"price": json_values, "exclusive": json_values}), max_size=9
        ),
        "status": st.sampled_from(["accepted", "rejected", "?"]) | json_values,
        "redirect_url": json_values,
        "buyer_lead_id": json_values,
    },
)


@settings(max_examples=300)
@given(st.integers(100, 599), answers | json_values | st.binary(max_size=20))
def test_no_answer_raises(status: int, answer: Any) -> None:
    read_post(status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())
    outcome = read(answer, status)
    if isinstance(outcome, Offered):
        assert all(0 < bid.price_micros <= MAX and bid.price_micros % 100 == 0 for bid in outcome.bids)
        assert 1 <= len(outcome.bids) <= 8


def test_the_body_of_a_post() -> None:
    body = post_body(
        lead_id="l1",
        ping_id="p1",
        bid_id=None,
        order="o",
        price_micros=31_500_000,
        campaign="solar",
        test=True,
        lead={"phone": "+1"},
    )
    assert json.loads(body) == {
        "lead_id": "l1",
        "ping_id": "p1",
        "bid_id": None,
        "order": "o",
        "price": 31.5,
        "campaign": "solar",
        "test": True,
        "lead": {"phone": "+1"},
    }


ACCEPTED = {"status": "accepted", "buyer_lead_id": "77", "redirect_url": "https://buyer.example/thanks?x=1"}
REJECTED = {"status": "rejected", "reason": "duplicate"}
NOT_TAKEN = [400, 401, 402, 403, 404, 405, 410, 411, 413, 414, 415, 421, 422, 426, 428, 429, 431, 451]


def posted(status: int, answer: Any) -> Accepted | Rejected | Unknown:
    return read_post(status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, ACCEPTED, Accepted("77", "https://buyer.example/thanks?x=1")),
        (201, {"status": "accepted"}, Accepted()),
        (200, {"status": "accepted", "buyer_lead_id": 77}, Accepted("77")),
        (200, {"status": "accepted", "redirect_url": "javascript:alert(1)"}, Accepted()),
        (200, {"status": "accepted", "redirect_url": "https://x/" + "y" * 2_000}, Accepted()),
        (200, REJECTED, Rejected("duplicate")),
        (200, {"status": "rejected"}, Rejected("rejected")),
        (422, REJECTED, Rejected("duplicate")),
        (409, REJECTED, Rejected("duplicate")),
    ],
)
def test_answers_to_a_post(status: int, answer: Any, expected: Accepted | Rejected) -> None:
    assert posted(status, answer) == expected


@pytest.mark.parametrize("status", NOT_TAKEN)
def test_a_refusal_at_the_door_is_a_rejection(status: int) -> None:
    for answer in (b"", b"<html>", {"error": "x"}, {"status": 3}):
        assert posted(status, answer) == Rejected(f"http_{status}")
    assert isinstance(posted(status, ACCEPTED), Unknown)


@pytest.mark.parametrize("answer", [b"", b"<html>", {}, {"status": "pending"}, {"status": None}, [1]])
def test_what_may_have_been_taken_is_unknown(answer: Any) -> None:
    for status in range(200, 600):
        if status not in NOT_TAKEN:
            assert isinstance(posted(status, answer), Unknown), status


def test_a_status_that_is_not_final_speaks_louder_than_its_body() -> None:
    for status in (100, 302, 303, 500, 502, 503, 504):
        assert isinstance(posted(status, ACCEPTED), Unknown)
        assert isinstance(posted(status, REJECTED), Unknown)
