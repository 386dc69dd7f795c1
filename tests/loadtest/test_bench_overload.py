"""The figures of an overload: what was served and what was refused are told apart."""

from __future__ import annotations

from collections import Counter

from loadtest.bench import book
from loadtest.bench.scenarios.overload import of_one
from loadtest.bench.taken import Taken


def test_what_was_served_and_what_was_refused_are_told_apart() -> None:
    served = [20_000.0] * 98 + [book.TMAX_MS * 1000 + 3_000.0] * 2
    refused = [1_000.0] * 49 + [9_000.0]
    taken = Taken(
        sent=150,
        latencies_us=served + refused,
        right_us=served,
        wrong_us=refused,
        seconds=2.0,
        cpu_s={"server": 2.0},
        wrong=Counter({"503 overloaded": 50}),
        own_us=[],
        bodies=[],
        late_us=[100.0],
    )
    figures = {each.key: each for each in of_one(2.0, 120.0, 60.0, taken)}
    found = {key.removeprefix("overload.2_"): round(each.value, 3) for key, each in figures.items()}
    assert found == {
        "goodput": round(100 * 50 / 60, 3),
        "p50": 20.0,
        "p99": 403.0,
        "overrun_p99": 3.0,
        "refused": 33.333,
        "refused_p99": 9.0,
    }
    assert "50 wrong: 50 503 overloaded" in figures["overload.2_refused_p99"].note


def test_with_nothing_refused_there_is_nothing_to_tell() -> None:
    taken = Taken(
        sent=1,
        latencies_us=[5.0],
        right_us=[5.0],
        seconds=1.0,
        cpu_s={"server": 1.0},
        wrong=Counter(),
        own_us=[],
        bodies=[],
        late_us=[],
    )
    figures = {each.key: each for each in of_one(1.2, 1.2, 1.0, taken)}
    assert figures["overload.1.2_refused"].value == 0
    assert figures["overload.1.2_refused_p99"].note == ""
