from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from loadtest.rows import (
    ALL,
    OWN,
    PING,
    POST,
    POST_LATE,
    Counted,
    Row,
    busiest_second,
    named,
    names_of,
    percentile,
    rows_of,
)
from loadtest.shapes import KINDS, make_shape


def counted(
    name: str, times: dict[float, int], failures: int = 0, at: dict[int, int] | None = None
) -> Counted:
    return Counted(name, sum(times.values()), failures, times, at or {})


@given(times=st.lists(st.floats(0, 1000).map(lambda ms: round(ms, 1)), min_size=1, max_size=60))
def test_percentiles_are_those_of_the_single_times(times: list[float]) -> None:
    in_order = sorted(times)
    for percent in (50, 95, 99):
        rank = -(-len(times) * percent // 100)  # rounded up
        assert percentile(Counter(times), percent / 100) == in_order[rank - 1]


def test_of_no_times() -> None:
    assert percentile({}, 0.5) == 0


def test_rows_are_in_the_tables_order_with_all_last() -> None:
    rows = rows_of(
        [counted(POST, {80: 10}, failures=2), counted(OWN, {0.8: 20}), counted(PING, {30: 15, 350: 5})],
        make_shape("steady", seconds=10),
    )
    assert rows == [
        Row(PING, 20, 0, 30, 350, 350, 2),
        Row(OWN, 20, 0, 0.8, 0.8, 0.8, 2),
        Row(POST, 10, 2, 80, 80, 80, 1),
        Row(ALL, 30, 2, 30, 350, 350, 3),
    ]
    assert [row.failed for row in rows] == [0, 0, 0.2, 2 / 30]


def test_a_phase_has_the_rate_of_its_own_time() -> None:
    shape = make_shape("spike", seconds=30)
    burst = named(PING, shape.phases[1])
    rows = {row.name: row for row in rows_of([counted(burst, {1: 80}), counted(POST_LATE, {1: 3})], shape)}
    assert burst == "POST /ping (burst)"
    assert rows[burst].per_second == 8
    assert rows[POST_LATE].per_second == 0.1
    assert rows[ALL].requests == 83


def test_only_what_matters_is_counted_by_phase() -> None:
    burst = make_shape("spike").phases[1]
    assert named(POST_LATE, burst) == POST_LATE
    assert named(PING, make_shape("spike").phases[0]) == named(PING, None) == PING


def test_names_are_each_there_once() -> None:
    for kind in KINDS:
        names = names_of(make_shape(kind))
        assert len(names) == len(set(names))
        assert names[-1] == ALL


def test_nothing_was_counted() -> None:
    assert rows_of([], make_shape("steady")) == [Row(ALL, 0, 0, 0, 0, 0, 0)]
    assert busiest_second([]) == 0


def test_the_busiest_second_is_of_all_requests_together() -> None:
    assert (
        busiest_second(
            [
                counted(PING, {1: 9}, at={100: 5, 101: 4}),
                counted(POST, {1: 6}, at={101: 6}),
                counted(OWN, {1: 99}, at={100: 99}),
            ]
        )
        == 10
    )
