from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.shapes import KINDS, make_shape

kinds = st.sampled_from(sorted(KINDS))
users = st.integers(1, 10_000)
lengths = st.integers(1, 86_400)


@given(kind=kinds, users=users, seconds=lengths, times=st.integers(2, 100))
def test_every_shape_ends_when_it_should(kind: str, users: int, seconds: int, times: int) -> None:
    shape = make_shape(kind, users, seconds, times)
    assert shape.seconds == pytest.approx(seconds)
    assert shape.at(0) == shape.phases[0]
    assert shape.at(seconds * 0.999) == shape.phases[-1]
    assert shape.at(seconds * 1.001) is None
    assert shape.at(10 * seconds) is None


@given(kind=kinds, users=users, seconds=lengths)
def test_phases_follow_each_other_in_time(kind: str, users: int, seconds: int) -> None:
    shape = make_shape(kind, users, seconds)
    seen = [shape.at(seconds * share / 1000) for share in range(1000)]
    assert [phase for phase, _ in itertools.groupby(seen)] == list(shape.phases)


def test_steady_and_soak_keep_the_same_load() -> None:
    for kind in ("steady", "soak"):
        assert {phase.users for phase in make_shape(kind, 33).phases} == {33}


def test_a_spike_has_its_burst_in_the_middle() -> None:
    shape = make_shape("spike", users=20)
    assert [(phase.name, phase.users, phase.seconds) for phase in shape.phases] == [
        ("", 20, 10),
        ("burst", 160, 10),
        ("after", 20, 10),
    ]
    assert [shape.at(second) for second in (9.99, 10, 20)] == list(shape.phases)
    assert shape.at(30) is None
    assert shape.most_users == 160
    assert make_shape("spike", users=5, times=3).most_users == 15


def test_what_they_take_where_nothing_is_said() -> None:
    assert {kind: make_shape(kind).seconds for kind in KINDS} == {"steady": 20, "spike": 30, "soak": 600}
