"""Refused postbacks: the same again is one row, and old ones go."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from auction.ledger.engine import transaction
from auction.ledger.records import RefusedPostback
from auction.ledger.refused import drop_old_refused, keep_refused, latest_refused
from tests.ledger.rows import AT_MS


def told(at_ms: int = AT_MS, **more: Any) -> RefusedPostback:
    known: dict[str, Any] = {
        "buyer_id": "sunrise",
        "lead_id": "lead-1",
        "order_id": "sunrise-tx",
        "status": "delivered",
        "code": "impossible_status",
        "times": 1,
        "first_at_ms": at_ms,
        "last_at_ms": at_ms,
    }
    return RefusedPostback(**(known | more))


def keep(engine: Engine, *rows: RefusedPostback) -> None:
    for row in rows:
        with transaction(engine) as conn:
            keep_refused(conn, row)


def test_the_same_again_is_counted(engine: Engine) -> None:
    keep(engine, told(), told(AT_MS + 5), told(AT_MS + 9, status="returned"), told(AT_MS + 7))
    with engine.connect() as conn:
        assert latest_refused(conn, 9) == [
            told(AT_MS + 9, status="returned"),
            told(times=3, last_at_ms=AT_MS + 7),
        ]
        assert latest_refused(conn, 1) == [told(AT_MS + 9, status="returned")]


def test_those_of_one_buyer(engine: Engine) -> None:
    keep(engine, told(), told(buyer_id="helios", lead_id="", order_id=""))
    with engine.connect() as conn:
        assert [one.lead_id for one in latest_refused(conn, 9, "helios")] == [""]


def test_old_ones_are_dropped_oldest_first(engine: Engine) -> None:
    keep(engine, *(told(AT_MS + number, lead_id=f"lead-{number}") for number in range(5)))
    keep(engine, told(AT_MS + 100, lead_id="lead-0"))
    with transaction(engine) as conn:
        assert drop_old_refused(conn, AT_MS + 4, 2) == 2
    with engine.connect() as conn:
        assert [one.lead_id for one in latest_refused(conn, 9)] == ["lead-0", "lead-4", "lead-3"]
    with transaction(engine) as conn:
        assert drop_old_refused(conn, AT_MS + 4, 9) == 1
        assert drop_old_refused(conn, AT_MS + 4, 9) == 0
