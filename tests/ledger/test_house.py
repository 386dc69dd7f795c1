"""Who a ledger is, and which counters are in use with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Engine

from auction.ledger.engine import transaction
from auction.ledger.house import UNSEEN_MS, HouseRow, counters_left, counters_seen, find_house, house_of

NOW = 1_750_000_000_000


def house(engine: Engine, made_id: str = "h1") -> HouseRow:
    with transaction(engine) as conn:
        return house_of(conn, made_id, NOW)


def seen(engine: Engine, counters_id: str, where: str, now_ms: int = NOW) -> str | None:
    """Where the counters are that stand in the way; None if these are in use now."""
    with transaction(engine) as conn:
        others = counters_seen(conn, counters_id, where, now_ms)
    return None if others is None else others.counters_where


def test_an_id_is_made_once(engine: Engine) -> None:
    with engine.connect() as conn:
        assert find_house(conn) is None
    assert house(engine, "h1").house_id == "h1"
    assert house(engine, "h2") == HouseRow("h1", NOW, None, None, None)


def test_all_who_start_at_once_see_one_id(engine: Engine) -> None:
    with ThreadPoolExecutor(6) as pool:
        rows = list(pool.map(lambda number: house(engine, f"h{number}"), range(6)))
    assert len({row.house_id for row in rows}) == 1


def test_other_counters_wait_until_the_first_are_out_of_use(engine: Engine) -> None:
    house(engine)
    assert seen(engine, "c1", "one:1") is None
    assert seen(engine, "c1", "one:1", NOW + 5_000) is None
    assert seen(engine, "c2", "two:1", NOW + 5_000 + UNSEEN_MS) == "one:1"
    assert seen(engine, "c2", "two:1", NOW + 5_001 + UNSEEN_MS) is None
    assert seen(engine, "c1", "one:1", NOW + 5_002 + UNSEEN_MS) == "two:1"


def test_counters_that_were_emptied_are_known_by_their_place(engine: Engine) -> None:
    house(engine)
    assert seen(engine, "c1", "one:1") is None
    assert seen(engine, "c2", "one:1") is None
    assert seen(engine, "c2", "by another name:1") is None, "the same counters, from another machine"


def test_counters_that_were_left_make_room_at_once(engine: Engine) -> None:
    house(engine)
    assert seen(engine, "c1", "one:1") is None
    with transaction(engine) as conn:
        counters_left(conn, "c2")
    assert seen(engine, "c2", "two:1") == "one:1"
    with transaction(engine) as conn:
        counters_left(conn, "c1")
    assert seen(engine, "c2", "two:1") is None
