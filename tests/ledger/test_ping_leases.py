"""Leases of pings in the ledger: sums over processes, folded and dropped without changing them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select

from auction.ledger.engine import transaction
from auction.ledger.ping_leases import add_leases, drop_old_leases, fold_old_leases, leased_pings
from auction.ledger.schema import ping_leases
from auction.market.windows import FOREVER_MS
from auction.ping_leases import PingLease
from tests.ledger.rows import AT_MS

HOUR = 3_600_000


def lease(pings: int, *, cap: str = "o:a:pings:hour", buyer: str = "ann", start_ms: int = AT_MS) -> PingLease:
    return PingLease(buyer, cap, start_ms, start_ms + HOUR, pings)


def ever(pings: int) -> PingLease:
    return PingLease("ann", "b:pings:total", 0, FOREVER_MS, pings)


def do(engine: Engine, step: Any, *arguments: Any) -> Any:
    with transaction(engine) as conn:
        return step(conn, *arguments)


def rows(engine: Engine) -> int:
    with engine.connect() as conn:
        return int(conn.execute(select(func.count()).select_from(ping_leases)).scalar_one())


def test_the_sum_over_all_processes_by_window(engine: Engine) -> None:
    do(engine, add_leases, "w1", [lease(100), lease(7, cap="b:pings:day")], AT_MS)
    do(engine, add_leases, "w2", [lease(50), lease(-3)], AT_MS)
    do(engine, add_leases, "w1", [lease(-40), lease(5, start_ms=AT_MS + HOUR), lease(9, buyer="ben")], AT_MS)
    assert rows(engine) == 5
    found = do(engine, leased_pings, ["ann", "cid"], AT_MS)
    assert sorted(
        (each.cap_key, each.start_ms - AT_MS, each.end_ms - AT_MS, each.pings) for each in found
    ) == [
        ("b:pings:day", 0, HOUR, 7),
        ("o:a:pings:hour", 0, HOUR, 107),
        ("o:a:pings:hour", HOUR, 2 * HOUR, 5),
    ]
    assert [each.pings for each in do(engine, leased_pings, ["ann"], AT_MS + HOUR)] == [5]


def test_windows_that_are_over_go(engine: Engine) -> None:
    do(engine, add_leases, "w1", [lease(at, start_ms=AT_MS + at * HOUR) for at in range(4)], AT_MS)
    do(engine, add_leases, "w1", [ever(1)], AT_MS)
    before_ms = AT_MS + 3 * HOUR
    assert [do(engine, drop_old_leases, before_ms, 1) for _ in range(3)] == [1, 1, 0]
    assert sorted(each.pings for each in do(engine, leased_pings, ["ann"], 0)) == [1, 2, 3]


def test_of_a_window_that_never_ends_one_row_is_enough_for_those_that_are_gone(engine: Engine) -> None:
    for at, worker in enumerate(("w1", "w2", "w3", "w4")):
        do(engine, add_leases, worker, [ever(10 + at)], AT_MS + at)
    do(engine, add_leases, "w1", [lease(1)], AT_MS - HOUR)
    assert [do(engine, fold_old_leases, AT_MS + 3, 2) for _ in range(3)] == [2, 1, 0]
    assert rows(engine) == 3  # the folded one, that of w4, that of an hour
    assert do(engine, leased_pings, ["ann"], AT_MS + HOUR)[0].pings == 46


def test_a_process_that_was_held_for_gone_goes_on_and_the_sum_stays_right(engine: Engine) -> None:
    do(engine, add_leases, "w1", [ever(100)], AT_MS)
    do(engine, fold_old_leases, AT_MS + 1, 10)
    do(engine, add_leases, "w1", [ever(-30)], AT_MS + 2)  # of what it wrote before
    assert do(engine, leased_pings, ["ann"], 0)[0].pings == 70
    assert do(engine, fold_old_leases, AT_MS + 3, 10) == 1
    assert rows(engine) == 1
    assert do(engine, leased_pings, ["ann"], 0)[0].pings == 70
