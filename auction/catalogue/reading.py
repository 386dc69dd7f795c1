"""Catalogue files: read, with every mistake named at once, and written.

Several files make one catalogue: their sections are joined in the order of the files. Reading is in three
steps, so that one run tells all there is to tell: YAML to nodes (`yaml_source`), nodes to entries
(`entries`), the rules between the entries (`check`). What a step could not read, the next ones do without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from auction.catalogue.documents import KINDS, SECTIONS
from auction.catalogue.entries import EntryReader, Wrong
from auction.catalogue.mistakes import CatalogueMistakes, Mistake, Names, Path, show_path
from auction.catalogue.references import Parts
from auction.catalogue.rules import check
from auction.catalogue.writing import write_catalogue
from auction.catalogue.yaml_source import Items, Node, Scalar, Source, Table, Unreadable, line_at, parse_yaml
from auction.market.entry import Entry
from auction.market.fields import ORDERED_TYPES
from auction.market.model import Campaign, Catalogue, House

__all__ = ["CatalogueMistakes", "Mistake", "Source", "read_catalogue", "write_catalogue"]

_KEYS = Names(("exchange", *SECTIONS))
_NOT_TEXT = ORDERED_TYPES - {"date"} | {"boolean"}


def read_catalogue(sources: Sequence[Source]) -> Catalogue:
    """The catalogue that the files make together. Raises `CatalogueMistakes` with all that is wrong."""
    reading = _Reading()
    for source in sources:
        reading.open(source)
    catalogue = reading.catalogue()
    if reading.has_all_sections:
        reading.check(catalogue)
    if reading.mistakes:
        order = {source.name: at for at, source in reversed(list(enumerate(sources)))}
        raise CatalogueMistakes(
            sorted(reading.mistakes, key=lambda mistake: (order[mistake.source], mistake.line))
        )
    return catalogue


class _Place(msgspec.Struct, frozen=True):
    """Where an entry (or a section) stands in its file."""

    reader: EntryReader
    node: Node
    path: Path


class _Reading:
    """One run over all files: what was found where, and what is wrong.

    Where a whole section could not be read, half of the entries would seem to name what is not there: then the
    rules between entries wait for the next run.
    """

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        self._sections: dict[str, list[_Place]] = {"exchange": [], **{name: [] for name in SECTIONS}}
        self._places: dict[str, list[_Place]] = {name: [] for name in SECTIONS}
        self._unread: dict[str, list[Parts]] = {name: [] for name in SECTIONS}
        self._text_fields: dict[str, frozenset[str]] = {}
        self.has_all_sections = True

    def open(self, source: Source) -> None:
        """Finds the sections of one file."""
        mistakes_before = len(self.mistakes)
        self._find_sections(source)
        if len(self.mistakes) > mistakes_before:
            self.has_all_sections = False

    def _find_sections(self, source: Source) -> None:
        reader = EntryReader(source.name, self.mistakes)
        try:
            root = parse_yaml(source.text)
        except Unreadable as error:
            self.mistakes.append(Mistake(source.name, error.line, "", error.error))
            return
        if root is None:
            return
        if not isinstance(root, Table):
            reader.expected(root, (), "the keys exchange, campaigns, sellers, buyers and orders")
            return
        for key, value in reader.pairs(root, ()):
            if key.text not in self._sections:
                reader.wrong(key, (), f"unknown key `{key.text[:64]}`{_KEYS.hint(key.text)}")
            elif not (isinstance(value, Scalar) and value.is_null):
                self._sections[key.text].append(_Place(reader, value, (key.text,)))

    def catalogue(self) -> Catalogue:
        """All entries that can be read."""
        house = self._house()
        sections: dict[str, Any] = {name: tuple(self._entries(name)) for name in SECTIONS}
        return Catalogue(exchange=house, **sections)

    def check(self, catalogue: Catalogue) -> None:
        """Holds the entries that can be read against each other."""
        for problem in check(catalogue, self._unread):
            place, inside = self._place_of(problem.path)
            line = line_at(place.node, inside)
            error = problem.error
            if problem.first is not None:
                first, inside_first = self._place_of(problem.first)
                error += f" (the first is at {first.reader.source}:{line_at(first.node, inside_first)})"
            self.mistakes.append(Mistake(place.reader.source, line, show_path((*place.path, *inside)), error))

    def _house(self) -> House:
        found = self._sections["exchange"]
        for place in found[1:]:
            first = f"{found[0].reader.source}:{found[0].node.line}"
            place.reader.wrong(place.node, place.path, f"expected one in all files; the first is at {first}")
        house = found[0].reader.read(found[0].node, House, found[0].path) if found else House()
        return house if isinstance(house, House) else House()

    def _entries(self, section: str) -> Iterable[Entry]:
        entry_type = KINDS[SECTIONS[section]]
        unread: list[_Place] = []
        for place in self._sections[section]:
            if not isinstance(place.node, Items):
                example = f"a list, such as [{{id: {section[:-1]}-1, ...}}]"
                place.reader.expected(place.node, place.path, example)
                self.has_all_sections = False
                continue
            for at, node in enumerate(place.node.items):
                here = _Place(place.reader, node, (section, at))
                text_fields = self._text_fields.get(_text_at(node, "campaign"), frozenset())
                if entry_type is Campaign:
                    text_fields = _text_fields_in(node)
                entry = place.reader.read(node, entry_type, here.path, text_fields=text_fields)
                if isinstance(entry, Wrong):
                    self._unread[section].append(entry.parts)
                    unread.append(here)
                    continue
                self._places[section].append(here)
                if isinstance(entry, Campaign):
                    self._text_fields[entry.id] = text_fields_of(entry)
                yield entry
        self._places[section] += unread

    def _place_of(self, path: Path) -> tuple[_Place, Path]:
        """Where the entry stands that a path of the catalogue begins with, and the path inside it."""
        section, *inside = path
        if section == "exchange":
            return self._sections["exchange"][0], tuple(inside)
        at, *rest = inside
        assert isinstance(section, str)
        assert isinstance(at, int)
        return self._places[section][at], tuple(rest)


def text_fields_of(campaign: Campaign) -> frozenset[str]:
    """Fields whose values are text, also where a filter writes one without quotes (`75001`)."""
    return frozenset(spec.name for spec in campaign.fields if spec.type not in _NOT_TEXT)


def _text_fields_in(campaign: Node) -> frozenset[str]:
    """The same before the campaign is read: its own filter stands beside its fields."""
    fields = campaign.get("fields") if isinstance(campaign, Table) else None
    specs = fields.items if isinstance(fields, Items) else ()
    return frozenset(_text_at(spec, "name") for spec in specs if _text_at(spec, "type") not in _NOT_TEXT)


def _text_at(node: Node, key: str) -> str:
    value = node.get(key) if isinstance(node, Table) else None
    return value.text if isinstance(value, Scalar) else ""
