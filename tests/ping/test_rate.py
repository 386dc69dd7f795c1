"""How a rate limit is told: what is left beside an answer, when to come again in a refusal."""

from __future__ import annotations

from auction.counters.answers import Admitted, Limited
from auction.ping.rate import rate_headers, too_many


def test_who_has_a_limit_is_told_where_it_stands() -> None:
    told = dict(rate_headers(Admitted(60, 12, 1_700_000_000_001)))
    assert told == {
        b"x-ratelimit-limit": b"60",
        b"x-ratelimit-remaining": b"12",
        b"x-ratelimit-reset": b"1700000001",  # whole seconds, never too early
    }
    assert rate_headers(Admitted(None, None, None)) == rate_headers(None) == ()


def test_who_is_over_it_is_told_when_to_come_again() -> None:
    for after_ms, after_s in ((1, "1"), (0, "1"), (1_000, "1"), (1_001, "2")):
        error = too_many("post", Limited(60, 0, 1_700_000_000_000, after_ms))
        assert (error.status, error.code) == (429, "rate_limited")
        assert error.detail == "More than 60 posts in the window of your rate limit."
        assert dict(error.headers)["retry-after"] == after_s
        assert dict(error.headers)["x-ratelimit-remaining"] == "0"
