"""Admission: nobody is lost, nobody is refused for a burst or a slow turn, and lanes go by their order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.api.admission import (
    AGAIN_S,
    CALM_TURNS,
    FULL,
    LASTING,
    LEADS,
    LEAST_SHARE,
    MOST_PER_TURN,
    PER_TURN,
    PINGS,
    REFUSALS_EACH,
    Admission,
    Lane,
)

TURN_S = 0.004
ONE = ("one",)


def made() -> tuple[Admission[int], Lane[int], Lane[int]]:
    leads, pings = Lane[int]("leads", LEADS), Lane[int]("pings", PINGS)
    return Admission([leads, pings]), leads, pings


def enter(
    admission: Admission[int], lane: Lane[int], item: int, now_s: float, caller: tuple[str, ...] = ONE
) -> bool:
    """Whether it begins at once."""
    begins = admission.begins()
    if not begins:
        admission.wait(lane, caller, item, now_s)
    return begins


def worked_off(admission: Admission[int], now_s: float, calls: int = 0) -> tuple[list[int], list[int], float]:
    """Turns until nobody waits: who began, who was refused, and when it was over."""
    begun, refused = [], []
    while not admission.free:
        now_s += TURN_S
        turn = admission.turn(now_s, calls)
        begun += turn.begin
        refused += turn.refuse
    return begun, refused, now_s


steps = st.lists(
    st.tuples(
        st.sampled_from(["lead", "ping", "ping", "ping", "turn"]),
        st.integers(1, 60),
        st.sampled_from([0.0, 0.0001, 0.004, 0.03, 0.2, 1.0]),
        st.sampled_from([0, 0, 300, 2_000]),
    ),
    max_size=150,
)


@given(steps)
def test_whoever_comes_begins_or_is_refused_once_and_each_caller_in_turn(
    sequence: list[tuple[str, int, float, int]],
) -> None:
    admission, leads, pings = made()
    whose: dict[int, tuple[Lane[int], str]] = {}
    begun: list[int] = []
    refused: list[int] = []
    now_s = 1_000.0
    for what, times, after_s, calls in sequence:
        now_s += after_s
        if what == "turn":
            turn = admission.turn(now_s, calls)
            assert len(turn.begin) <= MOST_PER_TURN
            assert not (calls >= PINGS.most_calls and any(whose[one][0] is pings for one in turn.begin))
            assert not (calls >= LEADS.most_calls and turn.begin)
            waits = {lane: len(lane.lines) for lane in (leads, pings) if calls < lane.bounds.most_calls}
            assert not (admission.free and any(waits.values())), "who could begin does"
            begun += turn.begin
            refused += turn.refuse
            continue
        for _ in range(times):
            number = len(whose)
            lane, caller = leads if what == "lead" else pings, f"{number % 3}"
            whose[number] = lane, caller
            before = len(leads.lines) + len(pings.lines)
            if enter(admission, lane, number, now_s, (caller,)):
                assert not before, "nobody overtakes one that waits"
                begun.append(number)
    for lane in (leads, pings):
        refused += lane.away
        assert sum(lane.refused.values()) == sum(whose[number][0] is lane for number in refused)
        assert len(lane.lines) <= lane.bounds.most_waiting
        for caller in "012":
            mine = [number for number in begun if whose[number] == (lane, caller)]
            assert mine == sorted(mine), "the oldest of a caller first"
    waiting = [lane.lines.first() for lane in (leads, pings) for _ in range(len(lane.lines))]
    assert sorted(begun + refused + waiting) == list(range(len(whose)))


@settings(max_examples=40)
@given(st.integers(1, 900), st.integers(1, 10))
def test_a_burst_is_worked_off(burst: int, times: int) -> None:
    """As long as the queue is empty once in a while, however late it was in between."""
    admission, _, pings = made()
    now_s = 5.0
    for _ in range(times):
        came = [enter(admission, pings, number, now_s) for number in range(burst)]
        begun, refused, now_s = worked_off(admission, now_s)
        assert (len(begun) + came.count(True), refused) == (burst, [])
        now_s += 0.001
    assert not admission.shedding(now_s)


@given(st.floats(0, 3_600), st.integers(PER_TURN + 1, 120), st.booleans())
def test_one_slow_turn_refuses_nobody(turn_s: float, came: int, while_busy: bool) -> None:
    admission, _, pings = made()
    now_s = 5.0
    if while_busy:  # somebody waited for some time before it
        for _ in range(50):
            now_s += 0.004
            for number in range(PER_TURN):
                enter(admission, pings, number, now_s)
            assert not admission.turn(now_s, 0).refuse
    for number in range(came):
        enter(admission, pings, number, now_s)
    assert not admission.turn(now_s + turn_s, 0).refuse
    assert not worked_off(admission, now_s + turn_s)[1]


def overloaded(
    admission: Admission[int], lane: Lane[int], now_s: float, seconds: float, each: int = 20
) -> float:
    """More than can begin comes in every turn."""
    until_s = now_s + seconds
    while now_s < until_s:
        now_s += TURN_S
        for _ in range(each):
            enter(admission, lane, 0, now_s)
        admission.turn(now_s, 0)
    return now_s


def test_what_lasts_is_refused_on_arrival_and_who_is_let_in_does_not_wait_long() -> None:
    admission, _, pings = made()
    now_s = overloaded(admission, pings, 5.0, PINGS.lasting_s)
    assert sum(pings.refused.values()) == 0, "it might be a burst"
    now_s = overloaded(admission, pings, now_s, 0.5)
    assert admission.shedding(now_s)
    assert pings.refused[LASTING] > 0
    waits_s = []
    for _ in range(100):
        now_s = overloaded(admission, pings, now_s, TURN_S)
        waits_s.append(admission._now_s - pings.lines.oldest_s)
    assert max(waits_s) <= PINGS.kept_s + 2 * TURN_S


def test_it_lets_in_again_when_it_is_over_and_believes_the_next_one_sooner() -> None:
    admission, _, pings = made()
    now_s = overloaded(admission, pings, 5.0, 2.0)
    pings.away.clear()
    begun, refused, now_s = worked_off(admission, now_s)
    assert len(begun) <= 40
    assert not refused
    for _ in range(CALM_TURNS):
        now_s += TURN_S
        for _ in range(PER_TURN):
            enter(admission, pings, 0, now_s)
        assert not admission.turn(now_s, 0).refuse
    assert not admission.shedding(now_s)
    for _ in range(100):
        enter(admission, pings, 0, now_s)
    assert not worked_off(admission, now_s)[1]
    before = sum(pings.refused.values())
    overloaded(admission, pings, now_s, 4 * PINGS.late_s)
    assert sum(pings.refused.values()) > before, "so soon after, it need not last"

    admission, _, pings = made()
    now_s = overloaded(admission, pings, 5.0, 2.0)
    _, _, now_s = worked_off(admission, now_s)
    for _ in range(int(AGAIN_S / TURN_S) + 1):
        now_s += TURN_S
        for _ in range(PER_TURN):
            enter(admission, pings, 0, now_s)
        admission.turn(now_s, 0)
    before = sum(pings.refused.values())
    overloaded(admission, pings, now_s, 4 * PINGS.late_s)
    assert sum(pings.refused.values()) == before, "it is long ago"


@pytest.mark.parametrize("told", [True, False], ids=["asked", "not asked"])
def test_an_overload_is_over_though_nobody_comes_any_more(told: bool) -> None:
    admission, _, pings = made()
    now_s = overloaded(admission, pings, 5.0, 2.0)
    _, _, now_s = worked_off(admission, now_s)
    now_s += AGAIN_S
    if told:
        assert not admission.shedding(now_s)
    for number in range(500):
        enter(admission, pings, number, now_s)
    assert not worked_off(admission, now_s)[1], "a burst in a quiet house"


def test_whole_leads_go_first_and_are_refused_last() -> None:
    admission, leads, pings = made()
    now_s = 5.0
    for number in range(1_500):  # pings enough for both, and a few leads
        now_s += TURN_S
        for _ in range(20):
            enter(admission, pings, -1, now_s)
        for _ in range(3):
            enter(admission, leads, number, now_s)
        admission.turn(now_s, 0)
        assert not leads.lines, "none of them waits for the next turn"
    assert pings.shedding
    assert not leads.shedding
    assert sum(leads.refused.values()) == 0

    admission, leads, pings = made()
    overloaded(admission, leads, 5.0, LEADS.lasting_s / 2, each=10)
    assert sum(leads.refused.values()) == 0
    overloaded(admission, leads, 5.0 + LEADS.lasting_s / 2, LEADS.lasting_s, each=10)
    assert leads.refused[LASTING] > 0, "alone they may be too many as well"


def test_who_comes_in_a_slow_turn_of_an_overload_begins_all_the_same() -> None:
    admission, _, pings = made()
    now_s = overloaded(admission, pings, 5.0, 2.0)
    assert admission.shedding(now_s)
    enter(admission, pings, 99, now_s, ("other",))
    for _ in range(3):  # a look at the clock each
        now_s += 0.04
        enter(admission, pings, 1, now_s)
    turn = admission.turn(now_s, 0)
    assert 99 in turn.begin
    assert pings.refused[LASTING] > 0
    assert not len(pings.lines) or admission._now_s - pings.lines.oldest_s <= PINGS.late_s


def test_a_caller_with_few_waiting_pushes_out_one_of_a_flood() -> None:
    admission, _, pings = made()
    for number in range(PER_TURN + PINGS.most_waiting):
        enter(admission, pings, number, 5.0)
    enter(admission, pings, -1, 5.0, ("other",))
    enter(admission, pings, -2, 5.0)
    turn = admission.turn(5.001, 0)
    assert turn.refuse == [PER_TURN + PINGS.most_waiting - 1, -2]
    assert turn.begin == [PER_TURN, -1, *range(PER_TURN + 1, 2 * PER_TURN - 1)]
    assert len(pings.lines) == PINGS.most_waiting - PER_TURN


def test_of_each_turn_something_is_for_those_behind_the_first_lane() -> None:
    """Or whoever floods the doors of whole leads, with keys or without, would shut out all pings."""
    least = PER_TURN // LEAST_SHARE
    admission, leads, pings = made()
    for number in range(60):
        enter(admission, leads, number, 5.0)
    for number in range(100, 100 + least + 1):
        enter(admission, pings, number, 5.0)
    begun = admission.turn(5.001, 0).begin
    assert begun == [*range(PER_TURN, 2 * PER_TURN - least), *range(100, 100 + least)]
    assert admission.turn(5.002, PINGS.most_calls).begin == list(range(14, 14 + PER_TURN)), "if it may begin"
    assert len(admission.turn(5.003, 0).begin) == PER_TURN
    assert not pings.lines
    assert admission.turn(5.004, 0).begin == list(range(29, 29 + PER_TURN)), "and if there is somebody"


def test_a_lane_is_full_some_time() -> None:
    admission, _, pings = made()
    came = [enter(admission, pings, number, 5.0) for number in range(PER_TURN + PINGS.most_waiting + 3)]
    assert came == [True] * PER_TURN + [False] * (PINGS.most_waiting + 3)
    assert pings.refused == {LASTING: 0, FULL: 3}
    assert admission.turn(5.0, 0).refuse == list(range(PER_TURN + PINGS.most_waiting, len(came)))


@pytest.mark.parametrize(
    ("refused", "begin"),
    [
        (0, PER_TURN),
        (REFUSALS_EACH - 1, PER_TURN),
        (3 * REFUSALS_EACH, PER_TURN + 3),
        (1_000 * REFUSALS_EACH, MOST_PER_TURN),
    ],
)
def test_the_more_are_refused_the_more_begin(refused: int, begin: int) -> None:
    admission, _, pings = made()
    came = PER_TURN + PINGS.most_waiting + refused
    for number in range(came):
        enter(admission, pings, number, 5.0)
    assert pings.refused[FULL] == refused
    assert len(admission.turn(5.001, 0).begin) == begin
    assert len(admission.turn(5.002, 0).begin) == PER_TURN, "in one turn"


def test_while_the_counters_are_slow_none_begins() -> None:
    admission, leads, pings = made()
    for number in range(20):
        enter(admission, pings, number, 5.0)
    assert admission.turn(5.001, PINGS.most_calls).begin == []
    assert admission.free == 0
    enter(admission, leads, 99, 5.002)
    assert admission.turn(5.003, PINGS.most_calls).begin == [99], "whole leads have a bound of their own"
    assert admission.turn(5.004, PINGS.most_calls - 1).begin == list(range(PER_TURN, 2 * PER_TURN))
