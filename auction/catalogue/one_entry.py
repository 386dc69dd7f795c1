"""A catalogue with one entry changed, and what that change breaks.

The admin API and the doors change entries one by one; what they make is held to the same rules as a file.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from auction.catalogue.documents import SECTIONS, Kind
from auction.catalogue.mistakes import BAD_CATALOGUE, Path, show_path
from auction.catalogue.rules import check
from auction.errors import FieldMistake, OperatorError
from auction.market.entry import Entry
from auction.market.model import Catalogue, House

HOUSE = "exchange"
"""Kind and id of the one entry that stands in no list."""
_SECTION_OF: dict[Kind, str] = {kind: section for section, kind in SECTIONS.items()}


class EntryMistakes(OperatorError):  # noqa: N818  (it holds many)
    """A change of one entry that breaks rules. `mistakes` names each by its path (`orders[sunrise-tx].buyer`)."""

    def __init__(self, mistakes: list[FieldMistake]) -> None:
        super().__init__(BAD_CATALOGUE, "\n".join(f"{each.field}: {each.error}" for each in mistakes))
        self.mistakes = tuple(mistakes)


def entry_of(catalogue: Catalogue, kind: Kind, id_: str) -> Any:
    """The entry of this kind and id; None if there is none."""
    if kind == HOUSE:
        return catalogue.exchange
    return next((entry for entry in getattr(catalogue, _SECTION_OF[kind]) if entry.id == id_), None)


def with_entry(catalogue: Catalogue, kind: Kind, id_: str, entry: Entry | None) -> Catalogue:
    """The same catalogue with `entry` in place of what was there under kind and id; None takes it out."""
    if kind == HOUSE:
        return replace(catalogue, exchange=entry or House())
    section = _SECTION_OF[kind]
    others = [each for each in getattr(catalogue, section) if each.id != id_]
    if entry is not None:
        others.append(entry)
    return replace(catalogue, **{section: tuple(sorted(others, key=lambda each: str(each.id)))})


def broken_rules(before: Catalogue, after: Catalogue) -> list[FieldMistake]:
    """The rules that `after` breaks and `before` did not, each by its path with ids in place of numbers.

    What was wrong before is not this change's fault: a rule may be younger than the catalogue.
    """
    mistakes = _mistakes(after)
    if not mistakes:
        return []
    known = set(_mistakes(before))
    return [each for each in mistakes if each not in known]


def _mistakes(catalogue: Catalogue) -> list[FieldMistake]:
    return [FieldMistake(_by_id(catalogue, problem.path), problem.error) for problem in check(catalogue)]


def _by_id(catalogue: Catalogue, path: Path) -> str:
    """`orders[sunrise-tx].price.max`: an entry's number in its section says nothing where there is no file."""
    section, *inside = path
    if section == HOUSE or not inside:
        return show_path(path)
    at, *rest = inside
    entry = getattr(catalogue, str(section))[at]
    return ".".join([f"{section}[{entry.id}]", *([show_path(tuple(rest))] if rest else [])])
