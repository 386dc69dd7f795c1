"""Every no has a code and a family (P9)."""

from __future__ import annotations

import pytest

from auction.market.reasons import Family, Reason

EXPECTED = {
    Family.NOT_ASKED: "route seller_excluded paused closed_hours filtered cap_full ping_cap_full ping_budget unhealthy "
    "wants_exclusive max_below_floor ask_limit tier_not_reached no_time_left duplicate "
    "suppressed filtered_inbound not_chosen",
    Family.FAILED: "timeout connect_failed connection_lost tls_failed forbidden_address too_many_in_flight "
    "http_status bad_http bad_answer bad_price answer_too_large withheld not_awaited",
    Family.REFUSED: "no_bid below_floor over_declared_max outbid full_at_hold",
    Family.WON: "won",
}


@pytest.mark.parametrize("family", Family)
def test_codes_are_wire_and_stay_in_their_family(family: Family) -> None:
    assert [reason.value for reason in Reason if reason.family is family] == EXPECTED[family].split()
