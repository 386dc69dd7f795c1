"""The log of auctions, as it is read again."""

from __future__ import annotations

from sqlalchemy import Engine

from auction.ledger.engine import transaction
from auction.ledger.pings import find_ping, insert_pings, recent_pings, sum_pings
from auction.ledger.records import PingSums
from tests.ledger.rows import AT_MS, a_ping


def test_what_was_logged_is_found(engine: Engine) -> None:
    row = a_ping(
        status="offer", payout_micros=25_200_000, sub_id="fb-7", test=True, own_us=640, wait_us=81_000
    )
    with transaction(engine) as conn:
        insert_pings(conn, [row, a_ping("ping-2", reason="no_eligible_order")])
    with engine.connect() as conn:
        assert find_ping(conn, "ping-1") == row
        assert find_ping(conn, "ping-3") is None


def test_of_two_auctions_of_one_ping_the_later_one_is_kept(engine: Engine) -> None:
    """A lead that changed is auctioned again; its rows may be written in any order, by different workers."""
    with transaction(engine) as conn:
        insert_pings(conn, [a_ping(at_ms=AT_MS + 1, reason="second")])
        insert_pings(conn, [a_ping(at_ms=AT_MS, reason="first")])
    with engine.connect() as conn:
        found = find_ping(conn, "ping-1")
        assert found is not None
        assert found.reason == "second"
    with transaction(engine) as conn:
        insert_pings(conn, [a_ping(at_ms=AT_MS + 2, reason="third")])
        found = find_ping(conn, "ping-1")
        assert found is not None
        assert found.reason == "third"


def test_recent_pings_page_by_page(engine: Engine) -> None:
    rows = [
        a_ping(f"ping-{number:02}", at_ms=AT_MS + number // 3, seller="acme" if number % 2 else "zeta")
        for number in range(20)
    ]
    with transaction(engine) as conn:
        insert_pings(conn, rows)
    newest = rows[::-1]
    with engine.connect() as conn:
        assert recent_pings(conn) == newest
        assert (
            recent_pings(conn, seller="zeta", most=4) == [row for row in newest if row.seller == "zeta"][:4]
        )
        assert recent_pings(conn, campaign="roofing-us") == []
        pages, before = [], None
        while page := recent_pings(conn, before=before, most=7):
            pages += page
            before = (page[-1].at_ms, page[-1].ping_id)
        assert pages == newest


def test_sums(engine: Engine) -> None:
    with transaction(engine) as conn:
        insert_pings(
            conn,
            [
                a_ping("1", at_ms=10),
                a_ping("2", at_ms=19, status="offer", payout_micros=5),
                a_ping("3", at_ms=10, status="offer", payout_micros=7, seller="zeta"),
                a_ping("4", at_ms=10, campaign="roofing-us"),
                a_ping("5", at_ms=9),
                a_ping("6", at_ms=20),
                a_ping("7", at_ms=10, test=True),
            ],
        )
    with engine.connect() as conn:
        assert sum_pings(conn, by="campaign", since_ms=10, until_ms=20) == [
            PingSums(name="roofing-us", pings=1, offers=0, payout_micros=0),
            PingSums(name="solar-us", pings=3, offers=2, payout_micros=12),
        ]
        assert sum_pings(conn, by="seller", since_ms=10, until_ms=20) == [
            PingSums(name="acme", pings=3, offers=1, payout_micros=5),
            PingSums(name="zeta", pings=1, offers=1, payout_micros=7),
        ]
        assert [sums.pings for sums in sum_pings(conn, by="seller", since_ms=0, until_ms=99, test=True)] == [
            1
        ]
