"""Which orders' filters hold for a lead, without asking each order.

Every filter is turned into alternatives (an OR of ANDs), and every alternative gets a row. For each field
there are a few tables, one for each kind of question, that map a value to the mask of the rows that *fail*
because of it: a dict for `in`, sorted bounds for `at_least`, dicts by length for `starts_with`. A match looks
the lead's values up, ORs the failures, and an order holds if one of its rows is left.

Rows are laid out so that going back from rows to orders is cheap: order `i`'s first alternative is row `i`;
where many orders have a second (third, …) one, these are a layer of their own, again in the orders' places,
and one shift folds the whole layer; what is left over lies behind, with a list of owners. A filter with too
many alternatives is asked directly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from auction.market.masks import Bounds, ByKey, bits, mask_of
from auction.market.model import FieldValue
from auction.market.predicates import AnyOf, Filter, Node, Predicate

__all__ = ["MOST_ALTERNATIVES", "FilterIndex", "bits"]

MOST_ALTERNATIVES = 64
_MOST_LISTED = 100_000
"""So many listed values may one order's alternatives have together: they repeat what they share."""
_LAYER_SHARE = 8
"""A layer is worth its width if at least one order in so many has a row in it."""

Failing = Callable[[Any], int]
"""Of a value: the mask of rows that fail because of it."""
Conjunction = tuple[Predicate, ...]


class FilterIndex:
    """The filters of a campaign's orders, indexed. Immutable.

    `unknown` are the fields whose values are not known when `match` is asked: what is asked of them is taken
    for yes, as in `Filter.holds`.
    """

    __slots__ = ("_count", "_fields", "_layers", "_owners", "_residual", "_rows", "_unknown")

    def __init__(self, filters: Sequence[Filter | None], unknown: frozenset[str] = frozenset()) -> None:
        self._count = len(filters)
        self._unknown = unknown
        self._residual: list[tuple[int, Filter]] = []
        alternatives: list[list[Conjunction]] = []
        for bit, each in enumerate(filters):
            found: list[Conjunction] = [()]
            if each is not None:
                found = _alternatives(each.root, unknown) or []
                if not found or _listed(found) > _MOST_LISTED:
                    self._residual.append((1 << bit, each))
                    found = []
            alternatives.append(found)
        rows, self._layers, self._owners = _laid_out(alternatives)
        width = self._count * self._layers + len(self._owners)
        self._rows = mask_of(rows, width)
        tables: defaultdict[str, _FieldTables] = defaultdict(_FieldTables)
        for row, conjunction in rows.items():
            for predicate in conjunction:
                tables[predicate.field].add(row, predicate)
        self._fields = tuple((name, *table.compiled(width)) for name, table in tables.items())

    def match(self, values: Mapping[str, FieldValue]) -> int:
        """The mask of the filters that hold: bit `i` is `filters[i]`; no filter always holds."""
        failed = 0
        for name, missing, tables in self._fields:
            value = values.get(name)
            if value is None:
                failed |= missing
            else:
                for fails in tables:
                    failed |= fails(value)
        held = self._rows ^ (self._rows & failed)
        if self._layers > 1 or self._owners:
            held = self._folded(held)
        for place, each in self._residual:
            if each.holds(values, self._unknown):
                held |= place
        return held

    def _folded(self, rows: int) -> int:
        """The orders that own these rows."""
        count = self._count
        everyone = (1 << count) - 1
        held = rows & everyone
        for _ in range(1, self._layers):
            rows >>= count
            held |= rows & everyone
        rows >>= count
        if rows:
            owners = self._owners
            held |= mask_of((owners[row] for row in bits(rows)), count)
        return held


def _alternatives(node: Node, unknown: frozenset[str]) -> list[Conjunction] | None:
    """The node as an OR of ANDs; an empty AND always holds. None if there are too many."""
    if isinstance(node, Predicate):
        return [()] if node.field in unknown else [(node,)]
    of_parts = []
    for part in node.parts:
        alternatives = _alternatives(part, unknown)
        if alternatives is None:
            return None
        of_parts.append(alternatives)
    if isinstance(node, AnyOf):
        joined = [conjunction for alternatives in of_parts for conjunction in alternatives]
        if () in joined:
            return [()]
    else:
        joined = [()]
        for alternatives in of_parts:
            if len(joined) * len(alternatives) > MOST_ALTERNATIVES:
                return None
            joined = [left + right for left in joined for right in alternatives]
    return joined if len(joined) <= MOST_ALTERNATIVES else None


def _listed(alternatives: Iterable[Conjunction]) -> int:
    return sum(
        len(predicate.operand)
        for conjunction in alternatives
        for predicate in conjunction
        if isinstance(predicate.operand, tuple)
    )


def _laid_out(
    alternatives: Sequence[Sequence[Conjunction]],
) -> tuple[dict[int, Conjunction], int, list[int]]:
    """Row -> alternative; how many layers there are; and the owners of the rows behind the layers."""
    count = len(alternatives)
    longest = max(map(len, alternatives), default=0)
    layers = 1
    while layers < longest and _LAYER_SHARE * sum(len(each) > layers for each in alternatives) >= count:
        layers += 1
    rows: dict[int, Conjunction] = {}
    owners: list[int] = []
    for bit, each in enumerate(alternatives):
        for layer, conjunction in enumerate(each):
            if layer < layers:
                rows[layer * count + bit] = conjunction
            else:
                rows[layers * count + len(owners)] = conjunction
                owners.append(bit)
    return rows, layers, owners


class _FieldTables:
    """What all rows ask of one field, gathered by kind, and then compiled.

    A row may ask the same thing twice (`in` under an `all` and again beside it): what it asks is merged here,
    so that each row is in each table once.
    """

    def __init__(self) -> None:
        self._missing: list[int] = []
        self._absent: list[int] = []
        self._allowed: dict[int, tuple[Any, ...]] = {}
        self._forbidden: defaultdict[Any, list[int]] = defaultdict(list)
        self._beginnings: dict[int, tuple[str, ...]] = {}
        self._not_beginnings: defaultdict[str, list[int]] = defaultdict(list)
        self._at_least: dict[int, Any] = {}
        self._at_most: dict[int, Any] = {}
        self._above: dict[int, Any] = {}
        self._below: dict[int, Any] = {}
        self._patterns: defaultdict[tuple[Any, bool], list[int]] = defaultdict(list)

    def add(self, row: int, predicate: Predicate) -> None:
        """The row asks this."""
        if predicate.negated:
            self._add_negated(row, predicate)
            return
        kind, operand = predicate.kind, predicate.operand
        self._missing.append(row)
        if kind == "in":
            known = self._allowed.get(row)
            self._allowed[row] = operand if known is None else tuple(set(known).intersection(operand))
        elif kind == "starts_with":
            before = self._beginnings.get(row)
            self._beginnings[row] = operand if before is None else _common_beginnings(before, operand)
        elif kind == "at_least":
            self._at_least[row] = max(operand, self._at_least.get(row, operand))
        elif kind == "at_most":
            self._at_most[row] = min(operand, self._at_most.get(row, operand))
        elif kind == "matches":
            self._patterns[operand, False].append(row)

    def _add_negated(self, row: int, predicate: Predicate) -> None:
        kind, operand = predicate.kind, predicate.operand
        if kind == "in":
            for value in operand:
                self._forbidden[value].append(row)
        elif kind == "starts_with":
            for beginning in operand:
                self._not_beginnings[beginning].append(row)
        elif kind == "at_least":
            self._below[row] = min(operand, self._below.get(row, operand))
        elif kind == "at_most":
            self._above[row] = max(operand, self._above.get(row, operand))
        elif kind == "matches":
            self._patterns[operand, True].append(row)
        else:
            self._absent.append(row)

    def compiled(self, width: int) -> tuple[int, tuple[Failing, ...]]:
        """The mask of rows that fail where the field is missing, and the tables for a value that is there."""
        tables: list[Failing] = []
        if self._absent:
            tables.append(_always(mask_of(self._absent, width)))
        if self._allowed:
            tables.append(
                _outside(mask_of(self._allowed, width), ByKey(_by_operand(self._allowed), width).get)
            )
        if self._forbidden:
            tables.append(ByKey(self._forbidden, width).get)
        if self._beginnings:
            begins = _begins(_by_operand(self._beginnings), width)
            tables.append(_outside(mask_of(self._beginnings, width), begins))
        if self._not_beginnings:
            tables.append(_begins(self._not_beginnings, width))
        if self._at_least:
            tables.append(_outside(mask_of(self._at_least, width), Bounds(self._at_least, width).at_most))
        if self._at_most:
            tables.append(Bounds(self._at_most, width).below)
        if self._above:
            tables.append(_outside(mask_of(self._above, width), Bounds(self._above, width).below))
        if self._below:
            tables.append(Bounds(self._below, width).at_most)
        if self._patterns:
            tables.append(_patterns(self._patterns, width))
        return mask_of(self._missing, width), tuple(tables)


def _common_beginnings(these: Iterable[str], those: Iterable[str]) -> tuple[str, ...]:
    """What a text begins with that begins with one of these and with one of those."""
    both = {max(this, that, key=len) for this in these for that in those if _nested(this, that)}
    return tuple(both)


def _nested(this: str, that: str) -> bool:
    return this.startswith(that) or that.startswith(this)


def _by_operand(rows: Mapping[int, Iterable[Any]]) -> dict[Any, list[int]]:
    by_operand: defaultdict[Any, list[int]] = defaultdict(list)
    for row, operands in rows.items():
        for operand in operands:
            by_operand[operand].append(row)
    return by_operand


def _always(mask: int) -> Failing:
    return lambda value: mask


def _outside(everyone: int, inside: Failing) -> Failing:
    """The rows of `everyone` that are not among those `inside` gives (which are some of them)."""
    return lambda value: everyone ^ inside(value)


def _begins(rows: Mapping[str, Sequence[int]], width: int) -> Failing:
    """Of a text: the rows of all beginnings that it has."""
    by_length: defaultdict[int, dict[str, Sequence[int]]] = defaultdict(dict)
    for beginning, numbers in rows.items():
        by_length[len(beginning)][beginning] = numbers
    tables = [(length, ByKey(beginnings, width).get) for length, beginnings in by_length.items()]

    def found(text: str) -> int:
        mask = 0
        for length, get in tables:
            mask |= get(text[:length])
        return mask

    return found


def _patterns(rows: Mapping[tuple[Any, bool], Sequence[int]], width: int) -> Failing:
    """Each pattern is searched once, however many rows ask it."""
    asked: defaultdict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for (pattern, negated), numbers in rows.items():
        asked[pattern][negated] = mask_of(numbers, width)
    table = [(pattern.search, unmatched, matched) for pattern, (unmatched, matched) in asked.items()]

    def fails(text: str) -> int:
        mask = 0
        for search, unmatched, matched in table:
            mask |= unmatched if search(text) is None else matched
        return mask

    return fails
