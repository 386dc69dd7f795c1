"""What the benchmark says: figures with a name, a value, a unit; and a goal, where there is one."""

from __future__ import annotations

from typing import Any

import msgspec

from loadtest.bench.goals import GOALS, Goal
from loadtest.bench.machine import Machine


class Figure(msgspec.Struct, frozen=True):
    """One figure. `key` names it for good, in the JSON and among the goals; `name` is for people."""

    key: str
    name: str
    value: float
    unit: str
    note: str = ""

    @property
    def goal(self) -> Goal | None:
        """What it is held against."""
        return GOALS.get(self.key)

    @property
    def met(self) -> bool | None:
        """Whether it reaches its goal; None without one."""
        return None if self.goal is None else self.goal.met(self.value)


class Report(msgspec.Struct):
    """A whole run: what was measured, where, and what could not be."""

    machine: Machine
    quick: bool
    figures: list[Figure]
    rounds: dict[str, Any]
    notes: list[str]
    seconds: float = 0.0

    def as_json(self) -> bytes:
        """With each figure's goal, and whether it was met."""
        figures = [
            msgspec.structs.asdict(figure) | {"goal": figure.goal, "met": figure.met}
            for figure in self.figures
        ]
        document = {**msgspec.structs.asdict(self), "figures": figures}
        return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
