"""An entry that comes as JSON: read by the reader of files, so that every mistake is told at once, by its path.

JSON says what is text and what is a number; so here, other than in a file, `5` is no name and `"5"` no limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from auction.catalogue.documents import KINDS, Kind
from auction.catalogue.entries import EntryReader, Wrong
from auction.catalogue.mistakes import Mistake
from auction.catalogue.reading import text_fields_of
from auction.catalogue.yaml_source import MOST_NESTED, Items, Node, Scalar, Table, Typed
from auction.errors import FieldMistake
from auction.market.entry import Entry
from auction.market.model import Campaign

_WHOLE = 2.0**53


def read_document(
    kind: Kind, document: Mapping[str, Any], campaigns: Sequence[Campaign] = ()
) -> Entry | list[FieldMistake]:
    """The entry that a JSON object says, or all that is wrong with it by its path (`price.max`).

    The types only: the rules between entries are `check`'s. In the filter of an order, what the order's campaign (one
    of `campaigns`) has as text stays text.
    """
    if is_deeper(document, MOST_NESTED):
        return [FieldMistake("", f"nested more than {MOST_NESTED} deep")]
    mistakes: list[Mistake] = []
    named = document.get("campaign")
    texts = next((text_fields_of(one) for one in campaigns if one.id == named), frozenset[str]())
    reader = EntryReader("", mistakes, keys_in_paths=True)
    entry = reader.read(_node(document), KINDS[kind], (), text_fields=texts)
    if isinstance(entry, Wrong):
        return [FieldMistake(mistake.path, mistake.error) for mistake in mistakes]
    return entry


def _node(value: object) -> Node:
    """A value that was decoded from JSON as the tree that a file gives."""
    if isinstance(value, Mapping):
        return Table(1, [(Scalar(1, str(key), False), _node(item)) for key, item in value.items()])
    if isinstance(value, list):
        return Items(1, [_node(item) for item in value])
    if isinstance(value, str):
        return Typed(1, value, False)
    if value is None or isinstance(value, bool):
        return Typed(1, "null" if value is None else str(value).lower(), True)
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        value = int(value)
    return Typed(1, repr(value), True)


def is_deeper(value: object, most: int) -> bool:
    """Whether it is nested more than `most` deep. Without recursion: it may be very deep."""
    level: list[object] = [value]
    for _ in range(most + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
