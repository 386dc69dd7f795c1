"""Percentiles, medians of rounds, ratios within a round."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.bench.figures import Figure, Report
from loadtest.bench.goals import GOALS
from loadtest.bench.machine import Machine
from loadtest.bench.rounds import BUYERS, Rounds, ratio
from loadtest.bench.scenarios import LONG, SCENARIOS
from loadtest.bench.taken import Taken, percentile


def taken(cpu_us: float, answers: int = 100, wrong: int = 0) -> Taken:
    """A run whose server used so much CPU per answer."""
    return Taken(
        sent=answers,
        latencies_us=[1000.0] * answers,
        seconds=2.0,
        cpu_s={"server": cpu_us * answers / 1e6, BUYERS: 0.1, "generator": 0.2},
        wrong=Counter({"503": wrong} if wrong else {}),
        own_us=[],
        bodies=[],
        late_us=[],
    )


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0, 100))
def test_a_percentile_has_that_many_at_or_below_it(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100 - 1e-9
    below = [value for value in values if value < found]
    assert not below or len(below) < len(values) * percent / 100 + 1e-9


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 99) == 0.0


def test_a_run_tells_rates_and_shares() -> None:
    run = taken(400, answers=1000)
    assert run.per_second == 500
    assert run.cpu_us("server") == pytest.approx(400)
    assert run.busy("server") == pytest.approx(0.2)
    assert run.latency_us(99) == 1000


def test_rounds_give_the_median_and_the_ratio_is_taken_within_rounds() -> None:
    ours = Rounds("ours", [taken(200), taken(900), taken(210)], [10, 10, 10])
    theirs = Rounds("go", [taken(400), taken(1800), taken(400)], [10, 10, 10])
    assert ours.cpu_us == pytest.approx(210)
    assert ratio(ours, theirs) == pytest.approx(0.5)  # the noisy round disturbed both alike


def test_wrong_answers_are_told_with_what_they_said() -> None:
    run = taken(200, wrong=3)
    run.first_wrong = b'{"code":"counters_unavailable"}'
    rounds = Rounds("ours", [taken(200), run], [10, 10])
    assert rounds.wrong == 3
    assert rounds.first_wrong == '{"code":"counters_unavailable"}'
    assert rounds.plain()["wrong"] == 3


def test_a_figure_knows_its_goal() -> None:
    assert Figure("main.of_go", "", 0.60, "x").met is True
    assert Figure("main.of_go", "", 0.61, "x").met is False
    assert Figure("sales.of_commits", "", 7.9, "x").met is False
    assert Figure("sales.of_commits", "", 8.0, "x").met is True
    assert Figure("main.per_second", "", 1.0, "/s").met is None


def test_every_goal_is_of_a_scenario() -> None:
    assert {key.partition(".")[0] for key in GOALS} <= set(SCENARIOS)
    assert set(SCENARIOS) >= LONG


def test_a_report_is_saved_with_goals_and_verdicts() -> None:
    machine = Machine("cpu", 2, "Linux", "3.11", 0.1)
    rounds = {"10": [Rounds("ours", [taken(200)], [10]).plain()]}
    report = Report(machine, False, [Figure("main.of_go", "of Go", 0.7, "x", "300 µs")], rounds, ["a note"])
    saved = msgspec.json.decode(report.as_json())
    assert saved["figures"][0]["met"] is False
    assert saved["figures"][0]["goal"] == {"limit": 0.6, "stretch": 0.5, "least": False}
    assert saved["rounds"]["10"][0]["cpu_us"] == 200
    assert saved["notes"] == ["a note"]
