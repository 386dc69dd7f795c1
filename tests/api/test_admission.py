"""Admission: nobody is lost, nobody is refused for a burst or a slow turn, and in an overload the house keeps working.

The last tests run it in a model of the loop: pings of four steps, of which all that are ready are done in one turn.
"""

from __future__ import annotations

import heapq
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.api.admission import (
    AGAIN_S,
    CALM_TURNS,
    FULL,
    LASTING,
    LEADS,
    MOST_PER_TURN,
    PER_TURN,
    PINGS,
    REFUSALS_EACH,
    Admission,
    Lane,
)

TURN_S = 0.004


def made() -> tuple[Admission[int], Lane[int], Lane[int]]:
    leads, pings = Lane[int]("leads", LEADS), Lane[int]("pings", PINGS)
    return Admission([leads, pings]), leads, pings


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
def test_whoever_comes_begins_or_is_refused_once_and_in_turn(
    sequence: list[tuple[str, int, float, int]],
) -> None:
    admission, leads, pings = made()
    lane_of: dict[int, Lane[int]] = {}
    begun: list[int] = []
    refused: list[int] = []
    now_s = 1_000.0
    for what, times, after_s, calls in sequence:
        now_s += after_s
        if what == "turn":
            turn = admission.turn(now_s, calls)
            assert len(turn.begin) <= MOST_PER_TURN
            assert not (calls >= PINGS.most_calls and any(lane_of[one] is pings for one in turn.begin))
            assert not (calls >= LEADS.most_calls and turn.begin)
            begun += turn.begin
            refused += turn.refuse
            continue
        for _ in range(times):
            number = len(lane_of)
            lane_of[number] = lane = leads if what == "lead" else pings
            before = len(leads.queue) + len(pings.queue)
            begins = admission.enter(lane, number, now_s)
            if begins:
                assert not before, "nobody overtakes one that waits"
                begun.append(number)
            elif begins is None:
                refused.append(number)
    waiting = [number for lane in (leads, pings) for _, number in lane.queue]
    assert sorted(begun + refused + waiting) == list(range(len(lane_of)))
    for lane in (leads, pings):
        mine = [number for number in begun if lane_of[number] is lane]
        assert mine == sorted(mine), "the oldest first"
        assert len(lane.queue) <= lane.bounds.most_waiting
        assert sum(lane.refused.values()) == sum(lane_of[number] is lane for number in refused)


@settings(max_examples=40)
@given(st.integers(1, 900), st.integers(1, 10))
def test_a_burst_is_worked_off(burst: int, times: int) -> None:
    """As long as the queue is empty once in a while, however late it was in between."""
    admission, _, pings = made()
    now_s = 5.0
    for _ in range(times):
        came = [admission.enter(pings, number, now_s) for number in range(burst)]
        assert None not in came
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
                assert admission.enter(pings, number, now_s) is not None
            assert not admission.turn(now_s, 0).refuse
    for number in range(came):
        assert admission.enter(pings, number, now_s) is not None
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
            admission.enter(lane, 0, now_s)
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
        waits_s.append(admission._now_s - pings.queue[0][0])
    assert max(waits_s) <= PINGS.kept_s + 2 * TURN_S


def test_it_lets_in_again_when_it_is_over_and_believes_the_next_one_sooner() -> None:
    admission, _, pings = made()
    now_s = overloaded(admission, pings, 5.0, 2.0)
    begun, refused, now_s = worked_off(admission, now_s)
    assert len(begun) <= 40
    assert not refused
    for _ in range(CALM_TURNS):
        now_s += TURN_S
        assert None not in [admission.enter(pings, 0, now_s) for _ in range(PER_TURN)]
        admission.turn(now_s, 0)
    assert not admission.shedding(now_s)
    assert [admission.enter(pings, 0, now_s) for _ in range(100)].count(None) == 0
    worked_off(admission, now_s)
    before = sum(pings.refused.values())
    overloaded(admission, pings, now_s, 4 * PINGS.late_s)
    assert sum(pings.refused.values()) > before, "so soon after, it need not last"

    admission, _, pings = made()
    now_s = overloaded(admission, pings, 5.0, 2.0)
    _, _, now_s = worked_off(admission, now_s)
    for _ in range(int(AGAIN_S / TURN_S) + 1):
        now_s += TURN_S
        for _ in range(PER_TURN):
            admission.enter(pings, 0, now_s)
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
    came = [admission.enter(pings, number, now_s) for number in range(500)]
    assert None not in came, "a burst in a quiet house"
    assert not worked_off(admission, now_s)[1]


def test_whole_leads_go_first_and_are_refused_last() -> None:
    admission, leads, pings = made()
    now_s = 5.0
    for number in range(1_500):  # pings enough for both, and a few leads
        now_s += TURN_S
        for _ in range(20):
            admission.enter(pings, -1, now_s)
        for _ in range(3):
            assert admission.enter(leads, number, now_s) is not None
        admission.turn(now_s, 0)
        assert not leads.queue, "none of them waits for the next turn"
    assert pings.shedding
    assert not leads.shedding
    assert sum(leads.refused.values()) == 0

    admission, leads, pings = made()
    overloaded(admission, leads, 5.0, LEADS.lasting_s / 2, each=10)
    assert sum(leads.refused.values()) == 0
    overloaded(admission, leads, 5.0 + LEADS.lasting_s / 2, LEADS.lasting_s, each=10)
    assert leads.refused[LASTING] > 0, "alone they may be too many as well"


def test_a_lane_is_full_some_time() -> None:
    admission, _, pings = made()
    came = [admission.enter(pings, number, 5.0) for number in range(PER_TURN + PINGS.most_waiting + 3)]
    assert came == [True] * PER_TURN + [False] * PINGS.most_waiting + [None] * 3
    assert pings.refused == {LASTING: 0, FULL: 3}


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
    assert [admission.enter(pings, number, 5.0) for number in range(came)].count(None) == refused
    assert len(admission.turn(5.001, 0).begin) == begin
    assert len(admission.turn(5.002, 0).begin) == PER_TURN, "in one turn"


def test_while_the_counters_are_slow_none_begins() -> None:
    admission, leads, pings = made()
    for number in range(20):
        admission.enter(pings, number, 5.0)
    assert admission.turn(5.001, PINGS.most_calls).begin == []
    assert admission.free == 0
    admission.enter(leads, 99, 5.002)
    assert admission.turn(5.003, PINGS.most_calls).begin == [99], "whole leads have a bound of their own"
    assert admission.turn(5.004, PINGS.most_calls - 1).begin == list(range(PER_TURN, 2 * PER_TURN))


# -- a model of the house ----------------------------------------------------------------------------

PING_S, READ_S, REFUSE_S = 0.00045, 0.00001, 0.00001
STEPS = 4
ASKED = 2
"""After so many steps a ping waits for its buyers."""
CAPACITY = 1 / PING_S
TMAX_S = 0.4


class Told(msgspec.Struct):
    """What became of pings: the latency of each that was served, and of each that was refused."""

    served_s: list[float]
    refused_s: list[float]


def house(share: float, seconds: float, buyers_s: float, pause_s: float = 0.0) -> Told:
    """A house to which `share` of its capacity comes; one second in, a turn is longer by `pause_s`."""
    admission, _, pings = made()
    rng, told = Random(7), Told([], [])
    now_s = due_s = 100.0
    end_s = now_s + seconds
    arrived: dict[int, float] = {}
    ready: list[tuple[int, int]] = []  # ping, steps done
    asked: list[tuple[float, int]] = []
    paused = False
    while now_s < end_s:
        work_s = 0.0
        if pause_s and not paused and now_s > 101.0:
            paused, work_s = True, pause_s
        coming: list[tuple[int, int]] = []
        while due_s <= now_s:
            number = len(arrived)
            arrived[number] = due_s
            work_s += READ_S
            begins = admission.enter(pings, number, now_s)
            if begins:
                coming.append((number, 0))
            elif begins is None:
                work_s += REFUSE_S
                told.refused_s.append(now_s + work_s - due_s)
            due_s += rng.expovariate(share * CAPACITY)
        while asked and asked[0][0] <= now_s:
            coming.append((heapq.heappop(asked)[1], ASKED))
        steps, ready = ready + coming, []
        for number, done in steps:
            work_s += PING_S / STEPS
            if done + 1 == STEPS:
                told.served_s.append(now_s + work_s - arrived[number])
            elif done + 1 == ASKED:
                heapq.heappush(asked, (now_s + work_s + buyers_s, number))
            else:
                ready.append((number, done + 1))
        if not admission.free:
            turn = admission.turn(now_s, 0)
            ready += [(number, 0) for number in turn.begin]
            for number in turn.refuse:
                work_s += REFUSE_S
                told.refused_s.append(now_s + work_s - arrived[number])
        idle = not (work_s or ready or not admission.free)
        now_s = min([due_s, *(at for at, _ in asked[:1])]) if idle else now_s + max(work_s, 1e-5)
    return told


def percentile(values: list[float], percent: float) -> float:
    return sorted(values)[int(len(values) * percent / 100)]


@pytest.mark.parametrize("buyers_s", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_below_its_capacity_a_house_refuses_nobody(share: float, buyers_s: float) -> None:
    told = house(share, 5.0, buyers_s, pause_s=0.1)
    assert not told.refused_s
    assert percentile(told.served_s, 50) < buyers_s + 0.01


@pytest.mark.parametrize("buyers_s", [0.0, 0.2])
@pytest.mark.parametrize(("share", "least"), [(1.2, 0.9), (2, 0.85), (5, 0.75)])
def test_above_it_the_house_goes_on_and_who_is_let_in_is_in_time(
    share: float, least: float, buyers_s: float
) -> None:
    """What is left of the capacity is what reading and refusing the others costs."""
    seconds = 6.0
    told = house(share, seconds, buyers_s)
    assert len(told.served_s) / seconds >= least * CAPACITY
    late = percentile(told.served_s, 99) - buyers_s
    assert late < 0.3, "at the onset, while it might be a burst"
    settled = told.served_s[len(told.served_s) // 4 :]
    assert percentile(settled, 50) < buyers_s + 0.05
    assert percentile(settled, 99.9) < min(TMAX_S, buyers_s + 0.15)
    assert percentile(told.refused_s[len(told.refused_s) // 4 :], 99) < 0.08
