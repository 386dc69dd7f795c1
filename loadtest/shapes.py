"""How many sellers there are at each moment of a run: steady, spike or soak. PURE; every shape has an end.

A shape is its phases, one after the other. What is asked in a phase that has a name is counted under that name,
so that a burst does not hide in the figures of the calm around it, nor a slow decline in those of the beginning.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec


class Phase(msgspec.Struct, frozen=True):
    """So many users for so long. `name` is empty for the usual load."""

    name: str
    seconds: float
    users: int


class Shape(msgspec.Struct, frozen=True):
    """The phases of one run, at least one."""

    name: str
    phases: tuple[Phase, ...]

    @property
    def seconds(self) -> float:
        """How long it takes in all."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def most_users(self) -> int:
        """In its busiest phase."""
        return max(phase.users for phase in self.phases)

    def at(self, elapsed_s: float) -> Phase | None:
        """The phase that is on; None once the run is over."""
        ends_s = itertools.accumulate(phase.seconds for phase in self.phases)
        return next(
            (phase for phase, end_s in zip(self.phases, ends_s, strict=True) if elapsed_s < end_s), None
        )


class Kind(msgspec.Struct, frozen=True):
    """A kind of shape: how long it takes where nothing is said, and how it is made of users, seconds, times."""

    seconds: int
    make: Callable[[int, float, int], Shape]
    text: str


def _steady(users: int, seconds: float, times: int) -> Shape:
    return Shape("steady", (Phase("", seconds, users),))


def _spike(users: int, seconds: float, times: int) -> Shape:
    third = seconds / 3
    calm, burst, after = Phase("", third, users), Phase("burst", third, users * times), "after"
    return Shape("spike", (calm, burst, Phase(after, third, users)))


def _soak(users: int, seconds: float, times: int) -> Shape:
    return Shape("soak", (Phase("", seconds * 3 / 4, users), Phase("last quarter", seconds / 4, users)))


KINDS = {
    "steady": Kind(20, _steady, "the same load all the time"),
    "spike": Kind(
        30, _spike, "a third of the time calm, a third with many times the users, a third after it"
    ),
    "soak": Kind(600, _soak, "long; its last quarter is held against goals of its own"),
}
USERS, TIMES = 20, 8


def make_shape(kind: str, users: int = USERS, seconds: float | None = None, times: int = TIMES) -> Shape:
    """One of `KINDS`, with `users` usually, and `times` as many in a burst."""
    known = KINDS[kind]
    return known.make(users, known.seconds if seconds is None else seconds, times)
