"""Lines of callers: nobody is lost, nobody has many more turns than another who waits, and memory is bounded."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.api import lines as module
from auction.api.lines import AHEAD, Caller, Line, Lines

A, B, C = ("a",), ("b",), ("c",)
CALLERS: list[Caller] = [A, B, C, ("", "x"), ("", "y")]

steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "put", "first", "first", "last", "before"]),
        st.sampled_from(CALLERS),
        st.integers(1, 50),
    ),
    max_size=80,
)


def filled(*callers: Caller) -> Lines[str]:
    """One for each; each is called as its caller, and by its number there."""
    lines, seen = Lines[str](), Counter[Caller]()
    for at, caller in enumerate(callers):
        seen[caller] += 1
        lines.put(caller, f"{caller[-1]}{seen[caller]}", float(at))
    return lines


def begun(lines: Lines[str], times: int | None = None) -> list[str]:
    """Who begins in so many turns, or till nobody waits."""
    return [lines.first() for _ in range(len(lines) if times is None else times)]


@given(steps)
def test_each_comes_out_once_and_of_a_caller_the_oldest_first(
    sequence: list[tuple[str, Caller, int]],
) -> None:
    lines = Lines[tuple[Caller, int]]()
    waiting: dict[Caller, deque[int]] = {caller: deque() for caller in CALLERS}
    for now, (what, caller, times) in enumerate(sequence):
        for _ in range(times if what != "before" else 1):
            size = sum(map(len, waiting.values()))
            if what == "put":
                alone = lines.would_be_last(caller)
                lines.put(caller, (caller, now), now)
                waiting[caller].append(now)
                if alone:  # what it says beforehand is what comes out
                    assert lines.last() == (caller, now)
                    waiting[caller].pop()
            elif what == "before":
                found = lines.before(now - times)
                for whose in CALLERS:
                    late = [at for at in waiting[whose] if at < now - times]
                    assert [at for of, at in found if of == whose] == late
                    for _ in late:
                        waiting[whose].popleft()
            elif size:
                whose, at = lines.first() if what == "first" else lines.last()
                assert at == (waiting[whose].popleft() if what == "first" else waiting[whose].pop())
        left = [line for line in waiting.values() if line]
        assert len(lines) == sum(map(len, left))
        groups = {caller[0] for caller in CALLERS if waiting[caller]}
        assert lines.callers == len(groups)
        if left:
            assert lines.oldest_s == min(line[0] for line in left)
            turns = Counter(name for names in lines._rounds.values() for name in names)
            assert turns.total() == len(lines)
            assert turns.keys() == groups
        else:
            assert not any((lines._callers, lines._rounds, lines._unused))


@settings(max_examples=300)
@given(
    st.integers(0, 3),
    st.lists(st.tuples(st.booleans(), st.sampled_from([A, B, C]), st.integers(1, 12)), max_size=60),
)
def test_while_a_caller_waits_no_other_has_many_more_turns(
    ahead: int, sequence: list[tuple[bool, Caller, int]]
) -> None:
    """So one with so many before it in its own line begins before any other has had as many, and `AHEAD` + 3, turns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AHEAD", ahead)
        lines = Lines[Caller]()
        waiting = Counter[Caller]()
        since: dict[Caller, Counter[Caller]] = {}  # of each who waits: who began since then
        for puts, caller, times in sequence:
            for _ in range(times):
                if puts:
                    lines.put(caller, caller, 0.0)
                    waiting[caller] += 1
                    since.setdefault(caller, Counter())
                elif len(lines):
                    first = lines.first()
                    waiting[first] -= 1
                    for who, turns in since.items():
                        turns[first] += 1
                        assert turns[first] <= turns[who] + ahead + 2, (who, first)
                    if not waiting[first]:
                        del since[first]


@pytest.mark.parametrize("at_once", [1, 2, 7, 60])
def test_whoever_comes_back_when_his_line_is_empty_has_no_more_turns_for_that(at_once: int) -> None:
    lines, turns = filled(*[A] * 1_000), Counter[str]()
    while turns["a"] < 300:
        for _ in range(at_once):
            lines.put(B, "b", 0.0)
        while lines.callers > 1:
            turns[lines.first()[0]] += 1
        assert turns["b"] <= turns["a"] + AHEAD + at_once


@given(st.lists(st.sampled_from([A, B, C, ("", "x"), ("", "y")]), max_size=300), st.integers(1, 40))
def test_where_there_is_no_room_those_go_who_have_the_most(sent: list[Caller], room: int) -> None:
    """What is left is fair: no line is longer than another that lost somebody, but for one."""
    lines = Lines[Caller]()
    lost = Counter[str]()
    for caller in sent:
        lines.put(caller, caller, 0.0)
        if len(lines) > room:
            lost[lines.last()[0]] += 1
    left = Counter(lines.first()[0] for _ in range(len(lines)))
    for name in lost:
        assert max(left.values(), default=0) <= left[name] + 1
    for whole in {name for name, *_ in sent} - lost.keys():
        assert left[whole] == sum(caller[0] == whole for caller in sent)


def test_turns_go_round_the_callers() -> None:
    lines = filled(A, A, A, A, B, B, C)
    assert begun(lines) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_callers_in_a_group_have_the_turns_of_one_and_go_round_among_themselves() -> None:
    x, y = ("", "x"), ("", "y")
    lines = filled(x, x, x, y, A, A, A, A)
    assert begun(lines) == ["x1", "a1", "y1", "a2", "x2", "a3", "x3", "a4"]
    lines = filled(x, x, x, y, A)
    assert [lines.last() for _ in range(3)] == ["x3", "x2", "y1"]


def test_who_took_no_turn_for_some_rounds_has_them_first() -> None:
    lines = filled(*[A] * 100)
    begun(lines, AHEAD + 5)
    for number in range(AHEAD + 2):
        lines.put(B, f"b{number}", 0.0)
    after = begun(lines, AHEAD + 5)
    early = [name for name in after if name.startswith("b")]
    assert after[: AHEAD - 1] == early[: AHEAD - 1], "all at once"
    assert len(early) == AHEAD + 2
    assert after != early, "and then in turn with the others"

    lines.put(B, "b", 0.0)
    assert begun(lines, 2) != ["b", "b"], "it has had its own"


def test_who_is_refused_in_the_middle_of_a_line_leaves_its_turn_to_those_behind() -> None:
    lines = filled(A, A, A, A, B, B, B)
    assert lines.before(2.0) == ["a1", "a2"]
    assert begun(lines) == ["a3", "b1", "a4", "b2", "b3"]
    assert lines.before(9.0) == []


def test_refusals_are_no_turns() -> None:
    """Whoever flooded for long while nobody could begin is no worse off afterwards than who comes then."""
    lines = filled(*[A] * 1_000, C)
    lines.before(990.0)
    for number in range(5):
        lines.put(B, f"b{number + 1}", 1_000.0)
    assert begun(lines, 6) == ["a991", "c1", "b1", "a992", "b2", "a993"]


@pytest.mark.parametrize("within", [True, False], ids=["of a group", "of their own"])
def test_callers_who_come_and_go_are_forgotten(monkeypatch: pytest.MonkeyPatch, within: bool) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 50)
    lines = Lines[int]()
    standing = ("", "standing") if within else ("standing",)
    for _ in range(100):  # of it somebody waits all the time
        lines.put(standing, -1, 0.0)
    for number in range(1_000):
        lines.put(("", f"{number}") if within else (f"{number}",), number, 1.0)
        while lines.first() != number:
            pass
    inner = lines._callers[""].line if within else lines
    assert isinstance(inner, Lines)
    assert len(inner._callers) == 51
    while len(lines) > 1:  # rounds go by
        lines.first()
    assert (lines.callers, len(inner._callers)) == (1, 1)


def test_a_line_of_one_caller_is_first_come_first_served() -> None:
    line = Line[str]()
    for at, name in enumerate("abcd"):
        assert line.would_be_last(())
        line.put((), name, at)
    assert (line.first(), line.last(), line.oldest_s, len(line)) == ("a", "d", 1, 2)
    assert line.before(2) == ["b"]
