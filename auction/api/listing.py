"""Lists as the doors show them: `field=value`, `field[$ne|$in|$nin]=value`, `$limit`, `$skip`; all mixed as one likes.

The operators are those of the lead-routes document (Feathers' own), for every list of every door. Values of `$in`
and `$nin` come repeated (`id[$in]=1&id[$in]=2`, also as `id[$in][]=1` or `id[$in][0]=1`). `null` is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from auction.catalogue.mistakes import Names
from auction.errors import FieldMistake, SellerError

DEFAULT_LIMIT = 10
MOST_LIMIT = 1_000
MOST_SKIP = 1_000_000
MOST_VALUES = 1_000
MOST_CONDITIONS = 64
MOST_TOLD = 100
_SHOWN = 64

Value = str | int | float | bool | None
Operator = Literal["$eq", "$ne", "$in", "$nin"]
Reading = Callable[[str], Value]
"""Reads what stands in the URL as a value of its field; raises `ValueError` with what was expected."""

_NAME = re.compile(r"([^\[\]]+)(?:\[(\$[a-z]+)\](?:\[\d{0,6}\])?)?")
_OPERATORS: frozenset[str] = frozenset({"$ne", "$in", "$nin"})


class UnknownWord(ValueError):  # noqa: N818  (it is the sender's, not ours)
    """What was asked for can be read, and is none of the values that there are."""


class OneOf:
    """Reads one of the words that a field may have, or `null`. Any other would find nothing, and not say why."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self._names = Names(self.words)

    def __call__(self, text: str) -> Value:
        """Raises `UnknownWord`, which names those that there are."""
        if text != "null" and text not in self.words:
            known = ", ".join(self.words)
            raise UnknownWord(f"expected one of {known}{self._names.hint(text[:_SHOWN])}")
        return read_text(text)


class Condition(msgspec.Struct, frozen=True):
    """One field against one value, or several of them."""

    field: str
    operator: Operator
    values: frozenset[Value]

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row passes. A field that a row does not have is null; so is an empty list. A list is whatever is
        in it."""
        value = row.get(self.field)
        values = (value or (None,)) if isinstance(value, list) else (value,)
        return (not self.values.isdisjoint(values)) == (self.operator in ("$eq", "$in"))


class Listing(msgspec.Struct, frozen=True):
    """What was asked for."""

    conditions: tuple[Condition, ...] = ()
    limit: int = DEFAULT_LIMIT
    skip: int = 0

    def page(self, rows: Iterable[Mapping[str, Any]]) -> Page:
        """The rows that pass every condition, from `skip` on, at most `limit` of them; `total` counts them all."""
        found = [row for row in rows if all(condition.holds(row) for condition in self.conditions)]
        return Page(len(found), self.limit, self.skip, found[self.skip : self.skip + self.limit])


class Page(msgspec.Struct, frozen=True):
    """The answer: `{"total": 2, "limit": 10, "skip": 0, "data": […]}`."""

    total: int
    limit: int
    skip: int
    data: list[Mapping[str, Any]]


def read_text(text: str) -> Value:
    """Any text; `null` is nothing."""
    return None if text == "null" else text


def read_whole(text: str) -> Value:
    """A whole number, or `null`."""
    if text == "null":
        return None
    if not re.fullmatch(r"-?[0-9]{1,15}", text, re.ASCII):
        raise ValueError("expected a whole number")
    return int(text)


def read_flag(text: str) -> Value:
    """true or false (also 1 and 0), or `null`."""
    known: dict[str, Value] = {"true": True, "1": True, "false": False, "0": False, "null": None}
    if text not in known:
        raise ValueError("expected true or false")
    return known[text]


def read_listing(pairs: Sequence[tuple[str, str]], fields: Mapping[str, Reading]) -> Listing:
    """The query of a list.

    Raises `SellerError` that names every parameter that is wrong: 400, or 422 where all of them can be read, and some
    ask for a value that there is not.
    """
    reading = _Reading(fields)
    for name, text in pairs:
        reading.take(name, text)
    told = reading.mistakes[:MOST_TOLD]
    if len(reading.mistakes) > reading.unknown_words:
        raise SellerError(400, "bad_query", "Some parameters are wrong.", mistakes=told)
    if told:
        raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=told)
    return reading.listing()


class _Reading:
    """One pass over the parameters that gathers every mistake."""

    def __init__(self, fields: Mapping[str, Reading]) -> None:
        self._fields = fields
        self._names = Names(fields)
        self._values: dict[tuple[str, Operator], set[Value]] = {}
        self._bounds: dict[str, int] = {}
        self._crowded: set[str] = set()
        self.mistakes: list[FieldMistake] = []
        self.unknown_words = 0

    def take(self, name: str, text: str) -> None:
        if name in ("$limit", "$skip"):
            self._bound(name, text, MOST_LIMIT if name == "$limit" else MOST_SKIP)
            return
        found = _NAME.fullmatch(name)
        field = found[1] if found else name
        if found is None or field not in self._fields:
            self._wrong(name, f"there is no such field{self._names.hint(field[:_SHOWN])}")
        elif found[2] is not None and found[2] not in _OPERATORS:
            self._wrong(name, "expected one of the operators $ne, $in and $nin")
        else:
            self._condition(name, field, found[2] or "$eq", text)

    def listing(self) -> Listing:
        conditions = tuple(
            Condition(field, operator, frozenset(values))
            for (field, operator), values in self._values.items()
        )
        return Listing(conditions, self._bounds.get("$limit", DEFAULT_LIMIT), self._bounds.get("$skip", 0))

    def _condition(self, name: str, field: str, operator: Any, text: str) -> None:
        try:
            value = self._fields[field](text)
        except ValueError as error:
            self.unknown_words += isinstance(error, UnknownWord)
            self._wrong(name, str(error))
            return
        values = self._values.setdefault((field, operator), set())
        if operator == "$eq" and values - {value}:
            self._wrong(name, "is there twice; several values are asked for with $in")
        elif len(values) >= MOST_VALUES or len(self._values) > MOST_CONDITIONS:
            self._crowd(name, operator)
        values.add(value)

    def _crowd(self, name: str, operator: str) -> None:
        """Told once, however many come."""
        if operator not in self._crowded:
            self._crowded.add(operator)
            self._wrong(name, f"expected at most {MOST_VALUES} values and {MOST_CONDITIONS} conditions")

    def _bound(self, name: str, text: str, most: int) -> None:
        if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or int(text) > most:
            self._wrong(name, f"expected a whole number from 0 to {most}")
        elif name in self._bounds:
            self._wrong(name, "is there twice")
        else:
            self._bounds[name] = int(text)

    def _wrong(self, name: str, error: str) -> None:
        self.mistakes.append(FieldMistake(name[:_SHOWN], error))
