"""When a postback is sent again: growing waits over three days, and what endpoints may ask for."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auction.postbacks.waits import JITTER, LONGEST_RETRY_AFTER_MS, WAITS_MS, judge, retry_after_ms

NOW_MS = 1_767_268_800_000
DAY_MS = 86_400_000


@given(st.lists(st.floats(0, 1), min_size=9, max_size=9), st.sampled_from([0, 302, 404, 500, 503]))
def test_it_is_tried_ten_times_in_about_three_days(chances: list[float], status: int) -> None:
    now_ms, waits = NOW_MS, []
    for tries, chance in enumerate(chances, start=1):
        tried = judge(tries, now_ms, chance, status=status)
        assert tried.state == "waiting"
        assert tried.next_at_ms is not None
        waits.append(tried.next_at_ms - now_ms)
        now_ms = tried.next_at_ms
    assert list(WAITS_MS) == sorted(WAITS_MS)
    assert all(abs(wait - usual) <= JITTER * usual + 1 for wait, usual in zip(waits, WAITS_MS, strict=True))
    assert 2.7 * DAY_MS < now_ms - NOW_MS < 3.6 * DAY_MS
    assert judge(10, now_ms, 0.5, status=status).state == "given_up"


@given(st.integers(1, 10), st.integers(200, 299), st.floats(0, 1))
def test_any_2xx_is_heard(tries: int, status: int, chance: float) -> None:
    tried = judge(tries, NOW_MS, chance, status=status, error="answer_too_large", retry_after="60")
    assert (tried.state, tried.status, tried.next_at_ms, tried.error) == ("delivered", status, None, None)


@given(st.integers(1, 10))
def test_gone_is_gone(tries: int) -> None:
    assert judge(tries, NOW_MS, 0.5, status=410).state == "given_up"


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_is_asked_for_is_kept(status: int) -> None:
    def wait_ms(tries: int, retry_after: str | None) -> int:
        tried = judge(tries, NOW_MS, 0.5, status=status, retry_after=retry_after)
        assert tried.next_at_ms is not None
        return tried.next_at_ms - NOW_MS

    assert wait_ms(1, None) == 5_000
    assert wait_ms(1, "120") == 120_000
    assert wait_ms(1, "1") == 5_000, "no sooner than we would"
    assert wait_ms(3, "60") == WAITS_MS[2]
    assert wait_ms(1, "99999999999999999") == LONGEST_RETRY_AFTER_MS
    assert wait_ms(1, formatdate(NOW_MS / 1_000 + 600, usegmt=True)) == 600_000


def test_others_cannot_ask_for_one() -> None:
    tried = judge(1, NOW_MS, 0.5, status=500, retry_after="3600")
    assert tried.next_at_ms == NOW_MS + 5_000


@given(st.text())
def test_whatever_is_asked_for_makes_a_time(text: str) -> None:
    assert retry_after_ms(text, NOW_MS) >= 0


def test_a_date_that_is_over_or_none_is_no_pause() -> None:
    assert retry_after_ms(format_datetime(datetime(2020, 1, 1, tzinfo=UTC)), NOW_MS) == 0
    assert retry_after_ms("soon", NOW_MS) == 0
    assert retry_after_ms("", NOW_MS) == 0
