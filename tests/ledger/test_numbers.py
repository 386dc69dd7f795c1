"""Numbers of entries: given once, counted on, never given again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import Engine

from auction.ledger.engine import transaction
from auction.ledger.numbers import Numbered, give_numbers


def given(engine: Engine, *wanted: tuple[str, str]) -> Numbered:
    with transaction(engine) as conn:
        return give_numbers(conn, wanted)


def test_each_kind_is_counted_by_itself(engine: Engine) -> None:
    assert given(engine, ("team", "b"), ("source", "a"), ("team", "a"), ("team", "b")) == {
        ("team", "b"): 1,
        ("source", "a"): 1,
        ("team", "a"): 2,
    }


def test_a_number_is_given_once_and_for_ever(engine: Engine) -> None:
    given(engine, ("team", "a"), ("team", "b"))
    assert given(engine, ("team", "c"), ("team", "a")) == {("team", "c"): 3, ("team", "a"): 1}
    assert given(engine, ("team", "b")) == {("team", "b"): 2}
    assert given(engine) == {}


def test_a_number_that_an_entry_says_itself_is_nobody_elses(engine: Engine) -> None:
    given(engine, ("team", "a"), ("team", "b"), ("source", "a"))
    with transaction(engine) as conn:
        found = give_numbers(conn, [("team", "a"), ("team", "b"), ("team", "c")], {("team", 2), ("team", 9)})
    assert found == {("team", "a"): 1, ("team", "b"): 10, ("team", "c"): 11}
    assert given(engine, ("team", "b"), ("team", "d")) == {("team", "b"): 10, ("team", "d"): 12}


def test_who_asks_at_once_gets_numbers_of_their_own(engine: Engine) -> None:
    together = Barrier(4)

    def ask(worker: int) -> Numbered:
        together.wait()
        return given(engine, ("team", "shared"), ("team", f"own-{worker}"))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert len({each["team", "shared"] for each in found}) == 1
    numbers = {number for each in found for number in each.values()}
    assert numbers == {1, 2, 3, 4, 5}
