"""What differs between two catalogues, for `auction apply`: which entries, and in which keys.

Entries are matched by kind and id; their order is no difference. What is secret is told to have changed,
never what it was or is: the lines go to terminals and logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from auction.catalogue.documents import SECTIONS, Kind, keys_of, plain
from auction.catalogue.secrets import URL_KEYS
from auction.catalogue.writing import write_line
from auction.market.entry import Entry
from auction.market.model import Catalogue, Entity, FieldSpec
from auction.market.money import Micros, to_text
from auction.market.shown_urls import in_short

_SECRET_KEYS = frozenset(("signing_secret", "headers", "keys", "secret"))
_MOST_SHOWN = 120
_CHANGED = "(changed)"
_HIDDEN = "(secret)"


class KeyChange(msgspec.Struct, frozen=True):
    """One key of an entry (`price.fixed`) and its two values as they may be shown; a secret has none."""

    key: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.key}: {_CHANGED}" if self.old == self.new else f"{self.key}: {self.old} -> {self.new}"


class EntryChange(msgspec.Struct, frozen=True):
    """One entry that is added (no `old`), removed (no `new`), or changed (both) in `keys`."""

    kind: Kind
    id: str
    old: Entry | None
    new: Entry | None
    keys: tuple[KeyChange, ...] = ()

    def __str__(self) -> str:
        sign = "+" if self.old is None else "-" if self.new is None else "~"
        name = self.kind if self.kind == "exchange" else f"{self.kind} {self.id}"
        return f"{sign} {name}  {', '.join(map(str, self.keys))}".rstrip()


class Changes(msgspec.Struct, frozen=True):
    """All differences, each tuple by kind and then by id."""

    added: tuple[EntryChange, ...] = ()
    changed: tuple[EntryChange, ...] = ()
    removed: tuple[EntryChange, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.added or self.changed or self.removed)

    def lines(self) -> list[str]:
        """For people: a line an entry (`~ order helios-ca  price.fixed: 25.00 -> 27.50`), and a count."""
        if self.empty:
            return ["no changes"]
        count = f"{len(self.added)} added, {len(self.changed)} changed, {len(self.removed)} removed"
        return [*map(str, (*self.added, *self.changed, *self.removed)), count]


def diff(old: Catalogue, new: Catalogue) -> Changes:
    """What must be done to `old` to make it `new`."""
    found: list[EntryChange] = []
    for kind, before, after in _by_kind(old, new):
        for name in sorted(before.keys() | after.keys()):
            was, now = before.get(name), after.get(name)
            if was != now:
                keys = () if was is None or now is None else key_changes(was, now)
                found.append(EntryChange(kind, name, was, now, keys))
    return Changes(
        added=tuple(change for change in found if change.old is None),
        changed=tuple(change for change in found if change.old is not None and change.new is not None),
        removed=tuple(change for change in found if change.new is None),
    )


def _by_kind(
    old: Catalogue, new: Catalogue
) -> Iterator[tuple[Kind, Mapping[str, Entry], Mapping[str, Entry]]]:
    yield "exchange", {"exchange": old.exchange}, {"exchange": new.exchange}
    for section, kind in SECTIONS.items():
        yield kind, _by_id(getattr(old, section)), _by_id(getattr(new, section))


def _by_id(entries: Iterable[Entity]) -> dict[str, Entry]:
    return {entry.id: entry for entry in entries}


def key_changes(old: Entry, new: Entry) -> tuple[KeyChange, ...]:
    """In which keys an entry differs from what it was."""
    before, after = dict(_flat(old)), dict(_flat(new))
    return tuple(
        KeyChange(key, _shown(key, before.get(key)), _shown(key, after.get(key)))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    )


def _flat(entry: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The keys of an entry and of the structs in it (`price.fixed`), and of each of a campaign's fields."""
    for attribute, name, _ in keys_of(type(entry)):
        key, value = prefix + name, getattr(entry, attribute)
        if isinstance(value, msgspec.Struct):
            yield from _flat(value, f"{key}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], FieldSpec):
            yield key, [spec.name for spec in value]
            yield from ((f"{key}.{spec.name}", spec) for spec in value)
        else:
            yield key, value


def _shown(key: str, value: object) -> str:
    if key in _SECRET_KEYS:
        return _CHANGED
    if value is None:
        return "(none)"
    if isinstance(value, Micros):
        return to_text(value)
    line = write_line(_showable(key, plain(value, to_text)))
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}..."


def _showable(key: str, value: Any) -> Any:
    """A value without what is secret, however deep in it: a postback has a URL and a secret of its own."""
    if isinstance(value, dict):
        return {
            name: _HIDDEN if name in _SECRET_KEYS else _showable(name, inner) for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_showable(key, inner) for inner in value]
    if key in URL_KEYS and isinstance(value, str):
        return in_short(value)
    return value
