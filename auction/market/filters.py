"""Reading an order's filter, as an operator writes it: every mistake at once, with what to write instead.

A filter is `{all: [...]}`, `{any: [...]}`, `{not: ...}`, or a clause `{field: state, in: [TX, OK]}`; a clause
may have several operators, which must all hold. Operands are normalised by their field's own type, so `in:
[tx, Texas]` is `in: [TX]`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from auction.market.fields import DEFAULT_MAX_LENGTH, ORDERED_TYPES, Reader, compile_field
from auction.market.model import FieldSpec, FieldType, FieldValue
from auction.market.patterns import PatternError, safe_pattern
from auction.market.predicates import All, AnyOf, Filter, Node, Predicate
from auction.market.values import MOST_EMAIL, MOST_URL

__all__ = ["Filter", "FilterMistakes", "Path", "parse"]

Path = tuple[str | int, ...]
"""Where in a filter: `("all", 0, "in", 3)`."""

MOST_DEPTH = 8
MOST_CLAUSES = 1_000
MOST_VALUES = 50_000
MOST_MISTAKES = 100

_GROUPS = ("all", "any", "not", "field")
_OF_ANY_TYPE = ("equals", "in", "not_in", "exists")
_OF_ORDERED = ("at_least", "at_most", "between")
_OF_TEXT = ("starts_with", "matches")
_OPERATORS = (*_OF_ANY_TYPE, *_OF_ORDERED, *_OF_TEXT)
_UNTEXTUAL: frozenset[FieldType] = frozenset({"integer", "number", "boolean"})
_LONGEST: dict[FieldType, int] = {"email": MOST_EMAIL, "url": MOST_URL}


class FilterMistakes(ValueError):  # noqa: N818  (it is many)
    """All that is wrong with a filter (the first `MOST_MISTAKES`): the path inside it, and a sentence."""

    def __init__(self, mistakes: list[tuple[Path, str]]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in mistakes))
        self.mistakes = mistakes


def parse(raw: object, fields: Mapping[str, FieldSpec]) -> Filter:
    """The filter, its operands normalised. Raises `FilterMistakes`."""
    reading = _Reading(fields)
    try:
        root = reading.node(raw, (), negated=False)
    except _Wrong as wrong:
        reading.note(wrong)
    if reading.mistakes:
        raise FilterMistakes(reading.mistakes)
    return Filter(root)


class _Wrong(Exception):  # noqa: N818  (it is noted, and never leaves this module)
    """What is wrong with one part. It is noted where the part's neighbours can still be read."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path = path
        self.text = text


class _Reading:
    """The reading of one filter."""

    def __init__(self, fields: Mapping[str, FieldSpec]) -> None:
        self.mistakes: list[tuple[Path, str]] = []
        self._fields = fields
        self._readers: dict[str, Reader] = {}
        self._clauses = 0

    def note(self, wrong: _Wrong) -> None:
        """Keeps a mistake for the end."""
        if len(self.mistakes) < MOST_MISTAKES:
            self.mistakes.append((wrong.path, wrong.text))

    def node(self, raw: object, path: Path, *, negated: bool) -> Node:
        """One filter; `negated` if it stands under an odd number of `not`."""
        if not isinstance(raw, dict):
            raise _Wrong(path, "expected a clause such as {field: state, in: [TX]}, or {all: [...]}")
        if sum(isinstance(step, str) for step in path) > MOST_DEPTH:
            raise _Wrong(path, f"nests deeper than {MOST_DEPTH} levels")
        if "field" in raw:
            return self._clause(raw, path, negated)
        if len(raw) != 1:
            raise _Wrong(path, "expected exactly one of all, any and not, or a clause with a field")
        ((key, inside),) = raw.items()
        if key == "not":
            return self.node(inside, (*path, "not"), negated=not negated)
        if key not in ("all", "any"):
            raise _Wrong((*path, str(key)), f"expected all, any, not or field{_guess(key, _GROUPS)}")
        path = (*path, key)
        parts: list[Node] = []
        for at, part in enumerate(_listed(inside, path, MOST_CLAUSES)):
            try:
                parts.append(self.node(part, (*path, at), negated=negated))
            except _Wrong as wrong:
                self.note(wrong)
        return _joined(parts, key == "all", negated)

    def _clause(self, raw: dict[Any, object], path: Path, negated: bool) -> Node:
        self._clauses += 1
        if self._clauses > MOST_CLAUSES:
            raise _Wrong(path, f"expected at most {MOST_CLAUSES} clauses in a filter")
        name = raw["field"]
        spec = self._fields.get(name) if isinstance(name, str) else None
        if spec is None:
            guess = _guess(name, self._fields)
            raise _Wrong((*path, "field"), f"{_shown(name)} is not a field of the campaign{guess}")
        if len(raw) == 1:
            raise _Wrong(path, f"expected an operator: {', '.join(_fitting(spec.type))}")
        parts: list[Node] = []
        for operator, operand in raw.items():
            if operator != "field":
                try:
                    parts += self._predicates(spec, operator, operand, (*path, str(operator)), negated)
                except _Wrong as wrong:
                    self.note(wrong)
        return _joined(parts, True, negated)

    def _predicates(
        self, spec: FieldSpec, operator: object, operand: object, path: Path, negated: bool
    ) -> list[Predicate]:
        """What one operator asks: one predicate, or for `between` two."""
        fitting = _fitting(spec.type)
        if operator not in _OPERATORS:
            raise _Wrong(path, f"is not an operator{_guess(operator, _OPERATORS)}: use {', '.join(fitting)}")
        if operator not in fitting:
            raise _Wrong(path, f"does not fit {spec.name}, a {spec.type}: use {', '.join(fitting)}")
        name = spec.name
        if operator == "equals":
            return [Predicate(name, "in", (self._value(spec, operand, path),), negated)]
        if operator in ("in", "not_in"):
            return [Predicate(name, "in", self._values(spec, operand, path), negated is (operator == "in"))]
        if operator == "exists":
            if not isinstance(operand, bool):
                raise _Wrong(path, "expected true or false")
            return [Predicate(name, "exists", None, negated is operand)]
        if operator == "starts_with":
            return [Predicate(name, "starts_with", _beginnings(operand, path), negated)]
        if operator == "matches":
            return [Predicate(name, "matches", _pattern(spec, operand, path), negated)]
        if operator == "between":
            low, high = self._range(spec, operand, path)
            return [Predicate(name, "at_least", low, negated), Predicate(name, "at_most", high, negated)]
        bound = self._value(spec, operand, path)
        return [Predicate(name, "at_least" if operator == "at_least" else "at_most", bound, negated)]

    def _range(self, spec: FieldSpec, operand: object, path: Path) -> tuple[FieldValue, FieldValue]:
        if not isinstance(operand, list | tuple) or len(operand) != 2:
            raise _Wrong(path, "expected the lowest and the highest, such as [5, 10]")
        low: Any = self._value(spec, operand[0], (*path, 0))
        high: Any = self._value(spec, operand[1], (*path, 1))
        if low > high:
            raise _Wrong(path, f"is empty: {low} is above {high}")
        return low, high

    def _values(self, spec: FieldSpec, operand: object, path: Path) -> tuple[FieldValue, ...]:
        kept: set[Any] = set()
        for at, raw in enumerate(_listed(operand, path, MOST_VALUES)):
            try:
                kept.add(self._value(spec, raw, (*path, at)))
            except _Wrong as wrong:
                self.note(wrong)
        return tuple(sorted(kept))

    def _value(self, spec: FieldSpec, raw: object, path: Path) -> FieldValue:
        """One operand, spelled as the field's decoder spells a lead's value."""
        read = self._readers.get(spec.name)
        if read is None:
            # bounds and lengths are the lead's business: an operand beyond them does no harm
            free = FieldSpec(name=spec.name, type=spec.type, choices=spec.choices)
            read = self._readers[spec.name] = compile_field(free)
        if isinstance(raw, bool) and spec.type != "boolean":
            raise _Wrong(path, f"is {str(raw).lower()}: put yes, no, on and off in quotes")
        if spec.type == "us_zip" and isinstance(raw, int) and raw < 10_000:
            raise _Wrong(path, "put a zip with leading zeros in quotes")  # YAML reads 01234 as octal
        try:
            value = read(raw)
        except ValueError as error:
            raise _Wrong(path, f"{error}, not {_shown(raw)}") from None
        # thousands of orders list the same states and zips: one copy of each is enough
        return sys.intern(value) if isinstance(value, str) else value


def _joined(parts: Sequence[Node], every: bool, negated: bool) -> Node:
    """The parts under `all` (or `any`), or under its negation, already pushed into the parts (De Morgan)."""
    if len(parts) == 1:
        return parts[0]
    return All(tuple(parts)) if every is not negated else AnyOf(tuple(parts))


def _fitting(of: FieldType) -> tuple[str, ...]:
    """The operators for fields of this type."""
    return (
        _OF_ANY_TYPE + (_OF_ORDERED if of in ORDERED_TYPES else ()) + (() if of in _UNTEXTUAL else _OF_TEXT)
    )


def _listed(operand: object, path: Path, most: int) -> Sequence[object]:
    if not isinstance(operand, list | tuple) or not operand:
        raise _Wrong(path, "expected a list with at least one entry")
    if len(operand) > most:
        raise _Wrong(path, f"expected at most {most} entries")
    return operand


def _beginnings(operand: object, path: Path) -> tuple[str, ...]:
    given = [operand] if isinstance(operand, str) else _listed(operand, path, MOST_VALUES)
    for at, text in enumerate(given):
        if not isinstance(text, str) or not text:
            raise _Wrong((*path, at), f"expected text, in quotes if it is made of digits, not {_shown(text)}")
    return tuple(sorted({sys.intern(str(text)) for text in given}))


def _pattern(spec: FieldSpec, operand: object, path: Path) -> re.Pattern[str]:
    if not isinstance(operand, str):
        raise _Wrong(path, "expected a regular expression, in quotes")
    longest = spec.max_length or _LONGEST.get(spec.type, DEFAULT_MAX_LENGTH)
    try:
        return safe_pattern(operand, longest)
    except PatternError as error:
        raise _Wrong(path, str(error)) from None


def _guess(word: object, known: Iterable[str]) -> str:
    near = get_close_matches(str(word)[:64], known, 1)
    return f" (did you mean {near[0]}?)" if near else ""


def _shown(raw: object) -> str:
    return repr(raw if isinstance(raw, int | float) else str(raw)[:60])
