"""A filter that has been read: predicates on single fields, joined by all and any.

There is no *not* above a predicate: it is pushed down while reading, and a predicate can be asked the other
way round. This makes the third answer cheap. A predicate on a field that is not known yet (a post field, at
ping) is *maybe*, asked either way round, and as nothing above it negates any more, maybe can be taken for
yes: the whole is no only if it is certainly no.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from auction.market.model import FieldValue

Kind = Literal["in", "at_least", "at_most", "starts_with", "matches", "exists"]
"""What a predicate asks. The operators `equals`, `not_in` and `between` are said with these."""

_MOST_SHOWN = 5


class Predicate(msgspec.Struct, frozen=True, eq=False):
    """One question about one field; `negated` turns the answer round.

    `operand` is, by kind: a sorted tuple of values, a bound, a tuple of beginnings, a compiled pattern, or
    None. A field that is missing answers no, and so yes to a negated question.
    """

    field: str
    kind: Kind
    operand: Any
    negated: bool = False

    def holds(self, value: FieldValue | None) -> bool:
        """The answer for this value; None is a missing field."""
        return (value is not None and self._asks(value)) is not self.negated

    def _asks(self, value: Any) -> bool:
        kind, operand = self.kind, self.operand
        if kind == "in":
            at = bisect_left(operand, value)
            return at < len(operand) and bool(operand[at] == value)
        if kind == "at_least":
            return bool(value >= operand)
        if kind == "at_most":
            return bool(value <= operand)
        if kind == "starts_with":
            return bool(value.startswith(operand))
        if kind == "matches":
            return operand.search(value) is not None
        return True

    def __str__(self) -> str:
        kind, operand = self.kind, self.operand
        if kind == "exists":
            return f"{self.field} {'is missing' if self.negated else 'exists'}"
        if kind == "matches":
            shown = operand.pattern
        elif isinstance(operand, tuple):
            more = len(operand) - _MOST_SHOWN
            shown = ", ".join(map(str, operand[:_MOST_SHOWN])) + (f" and {more} more" if more > 0 else "")
            shown = f"[{shown}]"
        else:
            shown = str(operand)
        return f"{self.field} {'not ' if self.negated else ''}{kind} {shown}"


class All(msgspec.Struct, frozen=True, eq=False):
    """Holds if every part does."""

    parts: tuple[Node, ...]


class AnyOf(msgspec.Struct, frozen=True, eq=False):
    """Holds if some part does."""

    parts: tuple[Node, ...]


Node = Predicate | All | AnyOf


class Filter:
    """Which leads an order takes. Immutable; `filters.parse` makes it.

    Values must be what the fields' decoder gives: text where the field is text, and so on.
    """

    __slots__ = ("root",)

    def __init__(self, root: Node) -> None:
        self.root = root

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it asks about."""
        return frozenset(_fields(self.root))

    def holds(self, values: Mapping[str, FieldValue], unknown: frozenset[str] = frozenset()) -> bool:
        """Whether a lead with these values is taken; with `unknown` fields, whether it still can be."""
        return _holds(self.root, values, unknown)

    def failing(self, values: Mapping[str, FieldValue], unknown: frozenset[str] = frozenset()) -> str | None:
        """For people: the first thing that fails (`state in [OK, TX]: was CA`); None if the filter holds."""
        return _failing(self.root, values, unknown)


def _fields(node: Node) -> set[str]:
    if isinstance(node, Predicate):
        return {node.field}
    return set().union(*map(_fields, node.parts))


def _holds(node: Node, values: Mapping[str, FieldValue], unknown: frozenset[str]) -> bool:
    if isinstance(node, Predicate):
        return node.field in unknown or node.holds(values.get(node.field))
    if isinstance(node, All):
        return all(_holds(part, values, unknown) for part in node.parts)
    return any(_holds(part, values, unknown) for part in node.parts)


def _failing(node: Node, values: Mapping[str, FieldValue], unknown: frozenset[str]) -> str | None:
    if _holds(node, values, unknown):
        return None
    if isinstance(node, Predicate):
        value = values.get(node.field)
        return f"{node}: was {'missing' if value is None else value}"
    failures = (_failing(part, values, unknown) for part in node.parts)
    failed = [failure for failure in failures if failure is not None]
    if isinstance(node, All):
        return failed[0]
    more = len(failed) - _MOST_SHOWN
    return "none of: " + "; ".join(failed[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")
