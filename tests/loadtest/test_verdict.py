from __future__ import annotations

import json
from typing import Any

import pytest

from loadtest import verdict
from loadtest.verdict import Answer

OFFER: dict[str, Any] = {"ping_id": "p", "status": "offer", "payout": 25.2, "expires_in": 60, "bids": []}
NO_BID: dict[str, Any] = {"ping_id": "p", "status": "no_bid", "reason": "no_eligible_order"}
SOLD: dict[str, Any] = {"lead_id": "l", "ping_id": "p", "status": "sold", "payout": 25.2}
REJECTED: dict[str, Any] = {"lead_id": "l", "status": "rejected", "reason": "duplicate"}
PENDING: dict[str, Any] = {"lead_id": "l", "status": "pending"}


def ok(said: object) -> Answer:
    return Answer(200, "application/json", json.dumps(said).encode())


def problem(status: int, content_type: str = "application/problem+json", code: str | None = "x") -> Answer:
    return Answer(status, content_type, json.dumps({"code": code} if code else {}).encode())


def bad_fields(*fields: str) -> Answer:
    errors = [{"field": field, "error": "is wrong"} for field in fields]
    said = {"code": "bad_fields", "errors": errors}
    return Answer(422, "application/problem+json", json.dumps(said).encode())


NOTHING = Answer(0)
BROKEN = problem(500, code="internal_error")


@pytest.mark.parametrize("answer", [ok(OFFER), ok(NO_BID)])
def test_outcomes_of_a_ping_are_no_failures(answer: Answer) -> None:
    assert verdict.of_ping(answer) is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (NOTHING, "no answer"),
        (BROKEN, "500 internal_error instead of 200"),
        (problem(429, code="rate_limited"), "429 rate_limited instead of 200"),
        (bad_fields("zip", "age"), "422 bad_fields (zip, age) instead of 200"),
        (Answer(200, "application/json", b"\xff"), "neither an offer nor a no_bid"),
        (ok([]), "neither an offer nor a no_bid"),
        (ok({**NO_BID, "reason": ""}), "a no_bid without ping_id or reason"),
        (ok({**OFFER, "expires_in": -1}), "an offer without ping_id, payout or expires_in"),
        (ok({**OFFER, "ping_id": ""}), "an offer without ping_id, payout or expires_in"),
    ],
)
def test_what_is_wrong_with_a_ping_is_said(answer: Answer, fault: str) -> None:
    assert verdict.of_ping(answer) == fault


def test_a_repeated_ping_must_get_the_same_offer() -> None:
    assert verdict.of_repeated_ping(ok({**OFFER, "expires_in": 55}), OFFER) is None
    assert (
        verdict.of_repeated_ping(ok({**OFFER, "payout": 25.3}), OFFER) == "a repeated ping got another offer"
    )
    assert verdict.of_repeated_ping(ok(NO_BID), OFFER) == "a repeated ping got another offer"
    assert verdict.of_repeated_ping(BROKEN, OFFER) == "500 internal_error instead of 200"


@pytest.mark.parametrize("answer", [ok(SOLD), ok(REJECTED), ok(PENDING)])
def test_outcomes_of_a_post_are_no_failures(answer: Answer) -> None:
    assert verdict.of_post(answer) is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (NOTHING, "no answer"),
        (problem(410, code="expired"), "410 expired instead of 200"),
        (ok({**SOLD, "status": "bought"}), "neither sold, rejected nor pending"),
        (ok({**SOLD, "lead_id": None}), "a post's answer without lead_id"),
        (ok({**SOLD, "payout": None}), "sold without payout"),
        (ok({"lead_id": "l", "status": "rejected"}), "rejected without reason"),
    ],
)
def test_what_is_wrong_with_a_post_is_said(answer: Answer, fault: str) -> None:
    assert verdict.of_post(answer) == fault


def test_a_repeated_post_must_be_the_same_lead() -> None:
    assert verdict.of_repeated_post(ok(SOLD), SOLD) is None
    assert verdict.of_repeated_post(ok({**SOLD, "lead_id": "m"}), SOLD) == "a repeated post made another lead"
    assert verdict.of_repeated_post(problem(409), SOLD) == "409 x instead of 200"


def test_a_late_post_must_find_its_offer_gone() -> None:
    assert verdict.of_late_post(problem(410)) is None
    assert verdict.of_late_post(problem(404)) is None
    assert verdict.of_late_post(ok(SOLD)) == "200 instead of 410 or 404"
    assert verdict.of_late_post(problem(410, "text/html")) == "410 that is no problem+json"


def test_nonsense_must_be_answered_by_a_problem() -> None:
    assert verdict.of_nonsense(problem(422)) is None
    assert verdict.of_nonsense(problem(422, "application/json")) == "422 that is no problem+json"
    assert verdict.of_nonsense(problem(422, code=None)) == "422 without a code"
    assert verdict.of_nonsense(BROKEN) == "500 internal_error instead of a problem of the seller's"
    assert verdict.of_nonsense(ok(NO_BID)) == "200 instead of a problem of the seller's"


@pytest.mark.parametrize(
    ("header", "ms"),
    [
        ("own;dur=0.812, buyers;dur=45.2", 0.812),
        ("buyers;dur=45.2, own;dur=3", 3),
        ("buyers;dur=45.2", None),
        ("own", None),
        ("own;dur=soon", None),
        ("", None),
    ],
)
def test_our_own_time_is_read(header: str, ms: float | None) -> None:
    assert verdict.own_ms(header) == ms
