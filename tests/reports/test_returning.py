"""The window and the share of returns, by whole numbers."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from auction.market.model import Returns
from auction.reports.returning import DAY_MS, bought_needed, too_late, window_begins_ms

terms = st.builds(
    Returns, days=st.integers(1, 365), share=st.integers(0, 100).map("{}%".format), frees_cap=st.booleans()
)


@given(terms, st.integers(0, 10_000), st.integers(1, 100_000))
def test_one_more_is_returned_as_long_as_the_share_holds(one: Returns, returned: int, bought: int) -> None:
    share = Fraction(one.share.removesuffix("%")) / 100
    needed = bought_needed(one, returned)
    allowed = needed is not None and bought >= needed
    assert allowed == (Fraction(returned + 1, bought) <= share)


@given(terms, st.integers(1, 500))
def test_taken_one_by_one_never_more_than_the_share_is_returned(one: Returns, bought: int) -> None:
    returned = 0
    while (needed := bought_needed(one, returned)) is not None and bought >= needed:
        returned += 1
    assert returned == bought * int(one.share.removesuffix("%")) // 100


@given(terms, st.integers(0, 10**13), st.integers(0, 400 * DAY_MS))
def test_the_window_is_as_many_days_to_the_millisecond(one: Returns, offered_ms: int, age_ms: int) -> None:
    now_ms = offered_ms + age_ms
    assert too_late(one, offered_ms, now_ms) == (age_ms > one.days * DAY_MS)
    assert too_late(one, offered_ms, now_ms) == (offered_ms < window_begins_ms(one, now_ms))
