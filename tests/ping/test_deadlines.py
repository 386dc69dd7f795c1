"""The arithmetic of deadlines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auction.ping.deadlines import MOST_RESERVE_MS, granted_tmax_ms, reserve_ms, tier_share_ms


def test_the_seller_gets_what_it_asks_up_to_the_campaigns() -> None:
    assert granted_tmax_ms(None, 500) == 500
    assert granted_tmax_ms(200, 500) == 200
    assert granted_tmax_ms(900, 500) == 500


@given(st.integers(10, 60_000))
def test_the_reserve_leaves_the_buyers_nine_tenths(tmax_ms: int) -> None:
    assert 0 < reserve_ms(tmax_ms) <= min(MOST_RESERVE_MS, tmax_ms / 10)


@given(st.floats(1, 60_000), st.integers(1, 20))
def test_tiers_share_the_time_that_is_left(left_ms: float, tiers: int) -> None:
    used = 0.0
    for left in range(tiers, 0, -1):
        used += tier_share_ms(left_ms - used, left)
    assert abs(used - left_ms) < 1e-6
