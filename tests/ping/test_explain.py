"""What is read of rows that were written before lead routes were there."""

from __future__ import annotations

from auction.ledger.records import PingRow
from auction.ping.explain import routed
from auction.ping.journal import read_detail


def a_row(detail: object) -> PingRow:
    return PingRow(
        ping_id="p",
        at_ms=1,
        seller="acme",
        campaign="solar",
        status="no_bid",
        market_version=1,
        lead={},
        detail=detail,
    )


def test_a_row_from_before_there_were_routes_is_read() -> None:
    old = [b"", [], [[3, "ask_limit"]], 0.0]
    assert read_detail(old).route is None
    assert routed(a_row(old)) is None
    assert routed(a_row([*old, "r1", None])) == "r1"
    assert routed(a_row([*old, "r1", "home"])) == "r1, team home first"
