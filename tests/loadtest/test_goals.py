from __future__ import annotations

from pathlib import Path

import pytest

from auction.catalogue.yaml_source import Source
from loadtest.goals import Goal, GoalMistakes, Goals, missed, read_goals
from loadtest.rows import ALL, OWN, PING, POST, Row
from loadtest.run import GOALS
from loadtest.shapes import KINDS

FINE = Row(PING, 100, 0, 30, 350, 400, 20)
TOTAL = Row(ALL, 100, 0, 30, 350, 400, 20)


def read(text: str) -> dict[str, Goals]:
    return read_goals(Source("goals.yaml", text))


def test_ours_are_for_every_shape() -> None:
    goals = read_goals(Source(str(GOALS), Path(GOALS).read_text(encoding="utf-8")))
    assert goals.keys() == KINDS.keys()
    assert all({PING, OWN, POST} <= one.requests.keys() for one in goals.values())
    assert goals["soak"].growth_mb


def test_goals_are_read() -> None:
    goals = read("""
spike:
  requests:
    POST /ping: &usual {p50_ms: 150, failures: 0.01}
    POST /ping (after): *usual
    all: {per_second: 30}
soak: {exchange: {growth_mb: 20}}
""")
    usual = Goal(p50_ms=150, failures=0.01)
    assert goals == {
        "spike": Goals({PING: usual, "POST /ping (after)": usual, ALL: Goal(per_second=30)}),
        "soak": Goals(growth_mb=20),
    }


def test_no_goals_are_goals() -> None:
    assert read("# nothing asked\n") == {}


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("stedy: {}", "goals.yaml:1: stedy: unknown shape; known are steady, spike, soak"),
        ("steady: 7", "goals.yaml:1: steady: expected keys, each with its value"),
        ("steady: {goals: {}}", "goals.yaml:1: steady.goals: unknown key"),
        (
            "steady:\n  requests:\n    POST /pin: {}",
            "goals.yaml:3: steady.requests.POST /pin: unknown request; known are POST /ping, POST /ping (nonsense), ",
        ),
        (
            "steady: {requests: {POST /ping (burst): {}}}",
            "goals.yaml:1: steady.requests.POST /ping (burst): unknown request; known are ",
        ),
        (
            "steady: {requests: {all: {p98_ms: 3}}}",
            "goals.yaml:1: steady.requests.all.p98_ms: unknown key; known are p50_ms, p95_ms",
        ),
        (
            "steady: {requests: {all: {p99_ms: soon}}}",
            "goals.yaml:1: steady.requests.all.p99_ms: expected a number of at least 0",
        ),
        ("steady: {requests: {all: {p99_ms: true}}}", "expected a number of at least 0"),
        ("steady: {requests: {all: {p99_ms: -1}}}", "expected a number of at least 0"),
        ("steady: {requests: {all: {p99_ms: [1]}}}", "expected a number of at least 0"),
        ("steady: {requests: {all: {failures: 2}}}", "expected a share from 0 to 1"),
        (
            "steady: {requests: {all: {p50_ms: 1, p50_ms: 2}}}",
            "goals.yaml:1: steady.requests.all.p50_ms: stands",
        ),
        ("steady: {exchange: {growth: 1}}", "steady.exchange.growth: unknown key; known are growth_mb"),
        ("steady: [", "goals.yaml:2: not readable as YAML"),
        ("7", "goals.yaml:1: expected shapes, each with its value"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, mistake: str) -> None:
    with pytest.raises(GoalMistakes) as raised:
        read(text)
    assert mistake in str(raised.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(GoalMistakes) as raised:
        read("stedy: {}\nspike:\n  requests:\n    all: {p99_ms: soon, p5_ms: 1}\n")
    assert [line.split(":")[1] for line in str(raised.value).splitlines()] == ["1", "4", "4"]


def test_what_is_reached_is_not_missed() -> None:
    goal = Goal(p50_ms=30, p95_ms=350, p99_ms=400, failures=0, per_second=20)
    assert missed([FINE, TOTAL], Goals({PING: goal, ALL: goal}, growth_mb=10), growth_mb=10) == []
    assert missed([FINE, TOTAL], Goals(), growth_mb=500) == []


@pytest.mark.parametrize(
    ("goal", "sentence"),
    [
        (Goal(p50_ms=29), "POST /ping: p50_ms is 30, more than 29"),
        (Goal(p95_ms=349.5), "POST /ping: p95_ms is 350, more than 349.5"),
        (Goal(p99_ms=0), "POST /ping: p99_ms is 400, more than 0"),
        (Goal(per_second=20.5), "POST /ping: per_second is 20, less than 20.5"),
    ],
)
def test_what_is_missed_is_named(goal: Goal, sentence: str) -> None:
    assert missed([FINE, TOTAL], Goals({PING: goal})) == [sentence]


def test_none_may_fail_unless_some_may() -> None:
    rows = [Row(PING, 100, 2, 30, 350, 400, 20), Row(ALL, 100, 2, 30, 350, 400, 20)]
    assert missed(rows, Goals()) == ["POST /ping: 2 of 100 failed"]
    assert missed(rows, Goals({PING: Goal(failures=0.02)})) == []
    assert missed(rows, Goals({PING: Goal(failures=0.01)})) == [
        "POST /ping: 2 of 100 failed, 2.00% and more than 1.00%"
    ]
    assert missed(rows, Goals({PING: Goal(failures=0.5), ALL: Goal(failures=0)})) == ["all: 2 of 100 failed"]


def test_a_goal_for_what_was_never_asked_is_missed() -> None:
    assert missed([FINE, TOTAL], Goals({POST: Goal(p50_ms=1)})) == ["POST /post: was never asked"]
    assert missed([FINE, TOTAL], Goals({POST: Goal(failures=0)})) == []  # none failed
    assert missed([Row(ALL, 0, 0, 0, 0, 0, 0)], Goals()) == ["all: was never asked"]


def test_memory_that_grows() -> None:
    assert missed([FINE, TOTAL], Goals(growth_mb=10), growth_mb=10.5) == [
        "the exchange: grew by 10.5 MB, more than 10"
    ]
