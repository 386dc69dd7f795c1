"""The goals of a load test: read from a file that names every mistake with its line, held against the rows. PURE.

    spike:                                  # a shape
      requests:
        POST /ping (burst):                 # a name of the table
          {p99_ms: 2000, failures: 0.01}    # at most
          per_second: 100                   # at least
      exchange: {growth_mb: 50}             # of its memory, from the first quarter's end to the run's

Where a name has no goal for its failures, none may fail.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from auction.catalogue.mistakes import Mistake, Path, show_path
from auction.catalogue.yaml_source import Node, Scalar, Source, Table, Unreadable, parse_yaml, resolve
from loadtest.rows import ALL, Row, names_of
from loadtest.shapes import KINDS, make_shape

AT_LEAST = frozenset(("per_second",))
"""The keys that are met by more; all others by less."""


class Goal(msgspec.Struct, frozen=True):
    """What is asked of one name: None where nothing is. `failures` is a share, times are milliseconds."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    failures: float | None = None
    per_second: float | None = None

    @property
    def wants_answers(self) -> bool:
        """Whether it cannot be met where nothing was asked: without answers none fails, but none is fast either."""
        return self != Goal(failures=self.failures)


class Goals(msgspec.Struct, frozen=True):
    """What is asked of one shape."""

    requests: dict[str, Goal] = {}
    growth_mb: float | None = None


class GoalMistakes(Exception):  # noqa: N818  (it holds many)
    """A file of goals that cannot be used: one mistake a line."""


def read_goals(source: Source) -> dict[str, Goals]:
    """The goals of each shape that the file names. Raises `GoalMistakes`, naming every one."""
    reading = _Reading(source.name)
    try:
        goals = reading.file(parse_yaml(source.text))
    except Unreadable as error:
        raise GoalMistakes(str(Mistake(source.name, error.line, "", error.error))) from None
    if reading.mistakes:
        raise GoalMistakes("\n".join(map(str, reading.mistakes)))
    return goals


def missed(rows: Sequence[Row], goals: Goals, growth_mb: float | None = None) -> list[str]:
    """A sentence for each goal that was not reached, and for each name that failed where it may not."""
    asked = {row.name for row in rows}
    unasked = [name for name, goal in goals.requests.items() if name not in asked and goal.wants_answers]
    sentences = [f"{name}: was never asked" for name in unasked]
    for row in rows:
        goal = goals.requests.get(row.name, Goal())
        sentences += [f"{row.name}: {one}" for one in _missed(row, goal)]
    if goals.growth_mb is not None and growth_mb is not None and growth_mb > goals.growth_mb:
        sentences.append(f"the exchange: grew by {growth_mb:.1f} MB, more than {goals.growth_mb:g}")
    return sentences


def is_met(key: str, value: float, goal: float) -> bool:
    """Whether a figure reaches the goal for this key."""
    return value >= goal if key in AT_LEAST else value <= goal


def _missed(row: Row, goal: Goal) -> list[str]:
    if not row.requests:
        return ["was never asked"] if row.name == ALL else []
    sentences = []
    allowed = goal.failures
    if allowed is None:
        allowed = 1.0 if row.name == ALL else 0.0  # each name answers for its own
    if row.failed > allowed:
        share = f", {row.failed:.2%} and more than {allowed:.2%}" if allowed else ""
        sentences.append(f"{row.failures} of {row.requests} failed{share}")
    for key in ("p50_ms", "p95_ms", "p99_ms", "per_second"):
        wanted, value = getattr(goal, key), getattr(row, key)
        if wanted is not None and not is_met(key, value, wanted):
            relation = "less" if key in AT_LEAST else "more"
            sentences.append(f"{key} is {value:.4g}, {relation} than {wanted:g}")
    return sentences


class _Reading:
    """One pass over a file of goals that gathers every mistake."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.mistakes: list[Mistake] = []

    def file(self, root: Node | None) -> dict[str, Goals]:
        if root is None:
            return {}
        return {
            kind: self._goals(kind, node, path)
            for kind, node, path in self._entries(root, (), "shape", KINDS)
        }

    def _goals(self, kind: str, node: Node, path: Path) -> Goals:
        requests: dict[str, Goal] = {}
        exchange: dict[str, float] = {}
        for key, part, at in self._entries(node, path, "key", ("requests", "exchange")):
            if key == "requests":
                known = names_of(make_shape(kind))
                for name, one, place in self._entries(part, at, "request", known):
                    requests[name] = Goal(**self._numbers(one, place, Goal.__struct_fields__))
            else:
                exchange = self._numbers(part, at, ("growth_mb",))
        return Goals(requests, **exchange)

    def _numbers(self, node: Node, path: Path, known: Iterable[str]) -> dict[str, float]:
        return {key: self._number(one, at) for key, one, at in self._entries(node, path, "key", known)}

    def _number(self, node: Node, path: Path) -> float:
        value = resolve(node) if isinstance(node, Scalar) else None
        highest, wanted = (
            (1.0, "a share from 0 to 1") if path[-1] == "failures" else (math.inf, "a number of at least 0")
        )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
            self._wrong(node.line, path, f"expected {wanted}")
            return 0.0
        return float(value)

    def _entries(
        self, node: Node, path: Path, what: str, known: Iterable[str]
    ) -> Iterator[tuple[str, Node, Path]]:
        """The entries of a table whose names are known, each once."""
        names, seen = tuple(known), set[str]()
        if not isinstance(node, Table):
            self._wrong(node.line, path, f"expected {what}s, each with its value")
            return
        for name, value in node.pairs:
            if name.text not in names:
                self._wrong(name.line, (*path, name.text), f"unknown {what}; known are {', '.join(names)}")
            elif name.text in seen:
                self._wrong(name.line, (*path, name.text), "stands twice")
            else:
                seen.add(name.text)
                yield name.text, value, (*path, name.text)

    def _wrong(self, line: int, path: Path, error: str) -> None:
        self.mistakes.append(Mistake(self._name, line, show_path(path), error))
