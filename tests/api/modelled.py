"""A model of a loaded house: pings of four steps, of which all that are ready are done in one turn of the loop."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from random import Random

import msgspec

from auction.api.admission import LEADS, PINGS, Admission, Lane

PING_S, READ_S, REFUSE_S = 0.00045, 0.00001, 0.00001
STEPS = 4
ASKED = 2
"""After so many steps a ping waits for its buyers."""
CAPACITY = 1 / PING_S
BEGINS_S = 100.0

Caller = tuple[str, ...]


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """What one caller sends: `share` of what the house can do, `at_once` of them each time, `costs` of a ping each."""

    share: float
    at_once: int = 1
    costs: float = 1.0
    leads: bool = False

    def times(self, rng: Random) -> Iterator[float]:
        """When its requests come."""
        now_s = BEGINS_S
        while True:
            for _ in range(self.at_once):
                yield now_s
            now_s += rng.expovariate(self.share * CAPACITY / self.at_once)


class Told(msgspec.Struct):
    """What became of a caller's pings: when each came that was served, and what it took; and of those refused."""

    served: list[tuple[float, float]] = []
    refused: list[tuple[float, float]] = []

    def served_s(self, after_s: float = 0.0, until_s: float = 1e9) -> list[float]:
        """The latencies of those that came in this time, counted from the start."""
        return [took for at, took in self.served if after_s <= at - BEGINS_S < until_s]

    def refused_s(self, after_s: float = 0.0, until_s: float = 1e9) -> list[float]:
        """The same of those refused."""
        return [took for at, took in self.refused if after_s <= at - BEGINS_S < until_s]


class _One(msgspec.Struct):
    """A request under way."""

    at_s: float
    caller: Caller
    step_s: float
    done: int = 0


def house(
    streams: Mapping[Caller, Stream], seconds: float, buyers_s: float = 0.0, pause_s: float = 0.0
) -> dict[Caller, Told]:
    """What becomes of all; one second in, a turn is longer by `pause_s`."""
    lanes: tuple[Lane[_One], Lane[_One]] = Lane("leads", LEADS), Lane("pings", PINGS)
    admission = Admission(lanes)
    told = {caller: Told([], []) for caller in streams}
    rng = Random(7)
    due = [
        (next(times), number, caller, times)
        for number, caller in enumerate(streams)
        for times in [streams[caller].times(rng)]
    ]
    heapq.heapify(due)
    now_s, ready = BEGINS_S, list[_One]()
    asked: list[tuple[float, int, _One]] = []
    paused, count = False, 0
    while now_s < BEGINS_S + seconds:
        work_s = 0.0
        if pause_s and not paused and now_s > BEGINS_S + 1:
            paused, work_s = True, pause_s
        coming: list[_One] = []
        while due[0][0] <= now_s:
            at_s, number, caller, times = due[0]
            heapq.heapreplace(due, (next(times), number, caller, times))
            one = _One(at_s, caller, PING_S * streams[caller].costs / STEPS)
            work_s += READ_S
            if admission.begins():
                coming.append(one)
            else:
                admission.wait(lanes[not streams[caller].leads], caller, one, now_s)
        while asked and asked[0][0] <= now_s:
            coming.append(heapq.heappop(asked)[2])
        steps, ready = ready + coming, []
        for one in steps:
            work_s += one.step_s
            one.done += 1
            if one.done == STEPS:
                told[one.caller].served.append((one.at_s, now_s + work_s - one.at_s))
            elif one.done == ASKED:
                count += 1
                heapq.heappush(asked, (now_s + work_s + buyers_s, count, one))
            else:
                ready.append(one)
        if not admission.free:
            turn = admission.turn(now_s, 0)
            ready += turn.begin
            for one in turn.refuse:
                work_s += REFUSE_S
                told[one.caller].refused.append((one.at_s, now_s + work_s - one.at_s))
        idle = not (work_s or ready or not admission.free)
        now_s = min([due[0][0], *(at for at, _, _ in asked[:1])]) if idle else now_s + max(work_s, 1e-5)
    return told


def percentile(values: list[float], percent: float) -> float:
    """The value that so many per cent are below."""
    return sorted(values)[int(len(values) * percent / 100)]
