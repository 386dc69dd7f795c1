"""The figures beside a flood: what was in time, of all that was asked."""

from __future__ import annotations

from collections import Counter

import pytest

from loadtest.bench import book
from loadtest.bench.goals import GOALS
from loadtest.bench.scenarios.fairness import BESIDE, FLOODS, of_one
from loadtest.bench.taken import NEVER, Taken


def taken(served: list[float], wrong: dict[str, int]) -> Taken:
    refused = [1_000.0] * sum(times for what, times in wrong.items() if what != NEVER)
    return Taken(
        sent=len(served) + sum(wrong.values()),
        latencies_us=served + refused,
        right_us=served,
        wrong_us=refused,
        seconds=2.0,
        cpu_s={"server": 1.0},
        wrong=Counter(wrong),
        own_us=[],
        bodies=[],
        late_us=[],
    )


def test_what_is_late_refused_or_never_answered_is_not_in_time() -> None:
    late = book.TMAX_MS * 1000 + 1.0
    figures = {
        each.key: each
        for each in of_one("pings", taken([20_000.0] * 6 + [late], {"503 overloaded": 2, NEVER: 1}))
    }
    assert {key.removeprefix("fairness.pings_"): each.value for key, each in figures.items()} == {
        "in_time": 60.0,
        "p50": 20.0,
        "p99": late / 1000,
    }
    assert "10 pings" in figures["fairness.pings_in_time"].note
    assert "503 overloaded" in figures["fairness.pings_in_time"].note


def test_nothing_taken_is_nothing_in_time() -> None:
    assert [each.value for each in of_one("alone", taken([], {}))] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", FLOODS)
def test_every_flood_has_its_words_and_its_goal(name: str) -> None:
    assert name in BESIDE
    assert f"fairness.{name}_in_time" in GOALS
