"""YAML text into a tree that knows its lines.

Why not `yaml.safe_load`: it forgets the lines, reads Norway's `NO` as false, `8:00` as 480, `01234` as 668,
and expands aliases without end. Here a scalar stays the text that was written, and whoever knows which type
is wanted resolves it. Built from libyaml's events: `yaml.compose` takes several times as long.

Bounded: characters, nodes, nesting, and nodes repeated by aliases. Tags are refused: no entry needs one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import yaml

MOST_CHARACTERS = 32 * 1024 * 1024
MOST_NODES = 4_000_000
MOST_REPEATED_NODES = 100_000
"""How many nodes the aliases of one file may repeat, all in all."""
MOST_NESTED = 64

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,19})")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


class Source(msgspec.Struct, frozen=True):
    """One catalogue file: the name that mistakes show, and its text."""

    name: str
    text: str


class Scalar(msgspec.Struct, gc=False):
    """A text, a number, a yes or no: as written. `plain` is without quotes."""

    line: int
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        """Whether nothing is said: an empty value, `~` or `null`."""
        return self.plain and self.text in _NULLS


class Typed(Scalar, gc=False):
    """A scalar of JSON, where it was said what it is: `plain` is a number, a yes or no, or null, and nothing else."""


class Items(msgspec.Struct, gc=False):
    """A YAML sequence."""

    line: int
    items: list[Node]


class Table(msgspec.Struct, gc=False):
    """A YAML mapping, its pairs in order; a key may stand twice (the reader tells)."""

    line: int
    pairs: list[tuple[Scalar, Node]]

    def get(self, key: str) -> Node | None:
        """The value of `key`, None if it is not there."""
        return next((value for name, value in self.pairs if name.text == key), None)


Node = Scalar | Items | Table


class Unreadable(Exception):  # noqa: N818  (says what the text is)
    """The text is not YAML that a catalogue may be written in."""

    def __init__(self, line: int, error: str) -> None:
        super().__init__(error)
        self.line = line
        self.error = error


def parse_yaml(text: str) -> Node | None:
    """The tree of one YAML (or JSON) document; None if there is nothing in it. Raises `Unreadable`."""
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(1, f"expected a file of at most {MOST_CHARACTERS} characters, has {len(text)}")
    try:
        return _Builder().build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 1, _sentence_of(error)) from None
    except (yaml.YAMLError, UnicodeError):
        line, character = _first_unreadable(text)
        raise Unreadable(line, f"not readable as YAML: it may not hold the character {character}") from None


def line_at(node: Node, path: tuple[str | int, ...]) -> int:
    """The line of the node at `path` below `node`, or of the last one on the way that is there."""
    line = node.line
    for part in path:
        if isinstance(node, Table):
            found = next(((name, value) for name, value in node.pairs if name.text == part), None)
            if found is None:
                return line
            line, node = found[0].line, found[1]
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            line = node.line
        else:
            return line
    return line


def resolve(scalar: Scalar) -> bool | int | float | str | None:
    """What a scalar is where no type says it, by the rules of YAML 1.2: `NO`, `8:00`, `2024-01-01` are text.

    Stricter in one thing: a number with leading zeros is text, since only codes are written so.
    """
    return resolve_plain(scalar.text) if scalar.plain else scalar.text


def resolve_plain(text: str) -> bool | int | float | str | None:
    """See `resolve`; for a scalar without quotes."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    number = resolve_number(text)
    return text if number is None else number


def resolve_number(text: str) -> int | float | None:
    """The number that `text` is: a whole one of 64 bits, or a finite float; else None."""
    if _INT.fullmatch(text):
        number = int(text)
        return number if _INT64_MIN <= number <= _UINT64_MAX else None
    if _FLOAT.fullmatch(text) and ("." in text or "e" in text or "E" in text):
        value = float(text)
        return value if abs(value) < float("inf") else None
    return None


class _Open(msgspec.Struct):
    """A sequence or mapping whose end has not come: what it began as, and how deep its aliases go."""

    node: Items | Table
    anchor: str | None
    first_node: int
    height: int = 0
    key: Scalar | None = None


class _Anchored(msgspec.Struct):
    node: Node
    nodes: int
    height: int


class _Builder:
    """Builds the tree from events, without recursion, counting what it builds."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._root: Node | None = None
        self._nodes = 0
        self._repeated = 0
        self._documents = 0

    def build(self, events: Iterator[Any]) -> Node | None:
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._begin(event, Table if kind is yaml.MappingStartEvent else Items)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._end()
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                self._documents += 1
                if self._documents > 1:
                    raise Unreadable(_line(event), "expected one YAML document; take out the `---`")
        root = self._root
        return None if isinstance(root, Scalar) and root.is_null else root

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        line = _line(event)
        self._count(line, event.tag)
        scalar = Scalar(line, event.value, event.implicit[0])
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(scalar, 1, 0)
        self._place(scalar)

    def _begin(
        self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, kind: type[Table | Items]
    ) -> None:
        line = _line(event)
        self._count(line, event.tag)
        if len(self._open) >= MOST_NESTED:
            raise Unreadable(line, f"nested more than {MOST_NESTED} deep")
        self._open.append(_Open(kind(line, []), event.anchor, self._nodes))

    def _end(self) -> None:
        ended = self._open.pop()
        if isinstance(ended.node, Table):
            _merge(ended.node)
        if ended.anchor is not None:
            size = self._nodes - ended.first_node + 1
            self._anchors[ended.anchor] = _Anchored(ended.node, size, ended.height + 1)
        self._place(ended.node, ended.height + 1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        line = _line(event)
        anchored = self._anchors.get(event.anchor or "")
        if anchored is None:
            raise Unreadable(line, f"no anchor `&{event.anchor}` ends above this line")
        self._nodes += anchored.nodes
        self._repeated += anchored.nodes
        if self._repeated > MOST_REPEATED_NODES:
            raise Unreadable(line, f"the aliases of this file repeat more than {MOST_REPEATED_NODES} nodes")
        if len(self._open) + anchored.height > MOST_NESTED:
            raise Unreadable(line, f"nested more than {MOST_NESTED} deep")
        self._place(anchored.node, anchored.height)

    def _count(self, line: int, tag: str | None) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise Unreadable(line, f"more than {MOST_NODES} nodes")
        if tag is not None:
            raise Unreadable(line, f"tags such as `{tag}` have no meaning here; take it out")

    def _place(self, node: Node, height: int = 0) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.height = max(parent.height, height)
        if isinstance(parent.node, Items):
            parent.node.items.append(node)
        elif parent.key is not None:
            parent.node.pairs.append((parent.key, node))
            parent.key = None
        elif isinstance(node, Scalar):
            parent.key = node
        else:
            raise Unreadable(node.line, "expected a name as key")


def _merge(table: Table) -> None:
    """`<<: *base` takes the keys of `base` that the table has not, `<<: [*a, *b]` those of several."""
    merges = [value for key, value in table.pairs if key.text == "<<" and key.plain]
    bases = [base for value in merges for base in (value.items if isinstance(value, Items) else [value])]
    if not bases or not all(isinstance(base, Table) for base in bases):
        return
    table.pairs = [pair for pair in table.pairs if pair[0].text != "<<" or not pair[0].plain]
    known = {key.text for key, _ in table.pairs}
    for base in cast(list[Table], bases):
        added = [pair for pair in base.pairs if pair[0].text not in known]
        known.update(key.text for key, _ in added)
        table.pairs += added


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    assert mark is not None
    return mark.line + 1


def _sentence_of(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "it ends too early"
    if error.context and error.context_mark:
        begun = f"begun on line {error.context_mark.line + 1}"
        return f"not readable as YAML: {problem} {error.context} ({begun})"
    return f"not readable as YAML: {problem}"


def _first_unreadable(text: str) -> tuple[int, str]:
    """The line and the code of the first character that YAML does not allow."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if found is None:
        return 1, "(unknown)"
    return text.count("\n", 0, found.start()) + 1, f"U+{ord(found.group()):04X}"
