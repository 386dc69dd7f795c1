"""What is certain of one post, at whatever point it ends."""

from __future__ import annotations

import pytest

from auction.buyers.protocol import Accepted, NotSent, Rejected, Unknown
from auction.buyers.sending import Sending
from auction.market.reasons import Reason

ACCEPTED, REFUSED = b'{"status":"accepted"}', b'{"status":"rejected","reason":"full"}'


def sending(
    status: int = 0, body: bytes | None = None, *, sent: bool = True, repeated: bool = False
) -> Sending:
    made = Sending(b"request")
    made.sent, made.repeated, made.status, made.body = sent, repeated, status, body
    return made


@pytest.mark.parametrize(
    ("status", "body", "first", "again"),
    [
        (200, ACCEPTED, Accepted(), Accepted()),
        (200, REFUSED, Rejected("full"), Rejected("full")),
        (429, b"", Rejected("http_429"), Unknown),
        (404, b"<html>", Rejected("http_404"), Unknown),
        (503, b"", Unknown("http_503"), Unknown),
    ],
)
def test_an_answer(status: int, body: bytes, first: object, again: object) -> None:
    """A door that turns a repetition away says nothing of what the first request did (P1)."""
    assert sending(status, body).answer() == first
    repeated = sending(status, body, repeated=True).answer()
    assert repeated == again or type(repeated) is again


def test_what_never_left_was_not_sent() -> None:
    assert sending(sent=False).failure(Reason.TIMEOUT, "slow") == NotSent(Reason.TIMEOUT, "slow")


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.CONNECT_FAILED, Reason.TLS_FAILED])
def test_what_may_have_left_is_unknown_whatever_failed_then(reason: Reason) -> None:
    """Also where the second connection of a post never opened: the first had carried it."""
    assert sending().failure(reason, "why") == Unknown("why")
    assert sending(repeated=True).failure(reason, "why") == Unknown("why")


def test_an_answer_that_was_whole_when_time_was_up_is_the_answer() -> None:
    assert sending(200, ACCEPTED).failure(Reason.TIMEOUT, "slow") == Accepted()


def test_a_status_without_its_body_speaks_for_itself_but_not_in_a_repetition() -> None:
    assert sending(422).failure(Reason.CONNECTION_LOST, "cut") == Rejected("http_422")
    assert sending(200).failure(Reason.CONNECTION_LOST, "cut") == Unknown("http_200, cut")
    assert isinstance(sending(422, repeated=True).failure(Reason.CONNECTION_LOST, "cut"), Unknown)
