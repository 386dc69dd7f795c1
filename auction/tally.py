"""Counting, cheap enough for the hot path: plain ints, put together only when somebody asks (`/metrics`).

A `Family` is what one worker knows under one name. It goes through a file to the worker that is asked, so it is
plain data; families of the same name add up.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

Labels = tuple[str, ...]
Counts = defaultdict[Labels, int]


def counts() -> Counts:
    """Counters by their labels; one that was never counted is 0."""
    return defaultdict(int)


class Histogram:
    """How many values fell below each bound. `bounds` ascend; one more bucket takes the rest."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[int]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def add(self, value: int) -> None:
        """One more value, in the unit of the bounds."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


OWN_US = (100, 200, 300, 400, 500, 700, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000)
"""Our own time: below a millisecond is where it should be."""
WAIT_US = tuple(
    ms * 1_000 for ms in (1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000)
)


class Buckets(msgspec.Struct, frozen=True):
    """A histogram as data: bounds in seconds, counts a bucket (not added up), the sum of all values in seconds."""

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    total_s: float

    def __add__(self, other: Buckets) -> Buckets:
        assert self.bounds_s == other.bounds_s, "histograms of one name have the same bounds"
        summed = tuple(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True))
        return Buckets(self.bounds_s, summed, self.total_s + other.total_s)


class Family(msgspec.Struct, frozen=True):
    """All values under one name, by their labels."""

    name: str
    help: str
    kind: Literal["counter", "gauge", "histogram"]
    label_names: Labels
    values: list[tuple[Labels, float]] = []
    buckets: list[tuple[Labels, Buckets]] = []


def counter(name: str, help_: str, label_names: Labels, values: Mapping[Labels, float]) -> Family:
    """Something that only grows."""
    return Family(name, help_, "counter", label_names, list(values.items()))


def plain_counter(name: str, help_: str, value: float) -> Family:
    """Something that only grows, without labels."""
    return Family(name, help_, "counter", (), [((), float(value))])


def gauge(name: str, help_: str, value: float) -> Family:
    """Something that goes up and down, a flag too; over workers it adds up."""
    # a flag would go into a worker's file as one, and no other worker could read that file
    return Family(name, help_, "gauge", (), [((), float(value))])


def histogram(name: str, help_: str, label_names: Labels, by_label: Mapping[Labels, Histogram]) -> Family:
    """Times: kept in microseconds, told in seconds."""
    found = [
        (
            labels,
            Buckets(tuple(bound / 1e6 for bound in one.bounds), tuple(one.counts), one.total / 1e6),
        )
        for labels, one in by_label.items()
    ]
    return Family(name, help_, "histogram", label_names, buckets=found)


def added_up(families: Iterable[Family]) -> list[Family]:
    """One family for each name, the values of equal labels added."""
    merged: dict[str, Family] = {}
    values: dict[str, dict[Labels, float]] = {}
    buckets: dict[str, dict[Labels, Buckets]] = {}
    for family in families:
        merged.setdefault(family.name, family)
        sums, histograms = values.setdefault(family.name, {}), buckets.setdefault(family.name, {})
        for labels, value in family.values:
            sums[labels] = sums.get(labels, 0) + value
        for labels, one in family.buckets:
            histograms[labels] = histograms[labels] + one if labels in histograms else one
    return [
        msgspec.structs.replace(
            family, values=list(values[name].items()), buckets=list(buckets[name].items())
        )
        for name, family in merged.items()
    ]


def floats(counted: dict[Labels, int]) -> dict[Labels, float]:
    """Counts as the families take them."""
    return {labels: float(value) for labels, value in counted.items()}
