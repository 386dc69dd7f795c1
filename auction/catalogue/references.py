"""Who names whom: the keys of entries that hold the ids of others, and whether those are there.

An entry of a file may have a mistake in one value and name others in the rest: what could be read of it (`Parts`) is
held to the same references as a whole one. Whoever could not be read is there all the same; and where an entry's own id
could not be read, nobody can say that there is no such one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from auction.catalogue.documents import SECTIONS
from auction.catalogue.mistakes import Names, Path, Problem
from auction.market.model import Catalogue

Parts = Mapping[str, Any]
"""What could be read of an entry that has mistakes, by its keys."""
Unread = Mapping[str, Sequence[Parts]]
"""The entries of each section that have mistakes."""
NOTHING_UNREAD: Final[Unread] = MappingProxyType({})

NAMED: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "sellers": {"campaigns": "campaigns"},
        "orders": {
            "buyer": "buyers",
            "campaign": "campaigns",
            "sellers": "sellers",
            "not_sellers": "sellers",
        },
        "suppression_lists": {"campaigns": "campaigns"},
        "teams": {"buyers": "buyers"},
        "sources": {"buyers": "buyers"},
        "lead_routes": {
            "owner": "buyers",
            "team": "teams",
            "source": "sources",
            "contact_source": "sources",
            "campaign": "campaigns",
        },
    }
)
"""For each section the keys that name others, and the section where those stand. (A door that needs no key names a
seller deep in a campaign: `door_rules`.)"""


class References:
    """All that can be named in a catalogue."""

    def __init__(self, catalogue: Catalogue, unread: Unread = NOTHING_UNREAD) -> None:
        self._names: dict[str, Names] = {}
        self._nameless = {
            section for section, entries in unread.items() if any("id" not in parts for parts in entries)
        }
        for section in {named for keys in NAMED.values() for named in keys.values()}:
            whole = (entry.id for entry in getattr(catalogue, section))
            self._names[section] = Names(
                (*whole, *(parts.get("id", "") for parts in unread.get(section, ())))
            )

    def problems(self, section: str, entry: msgspec.Struct | Parts, path: Path) -> Iterator[Problem]:
        """Whom the entry (or what could be read of it) names in vain."""
        for key, where in NAMED[section].items():
            named = entry.get(key) if isinstance(entry, Mapping) else getattr(entry, key)
            if isinstance(named, str):
                yield from self.unknown(where, named, (*path, key))
            else:
                for at, name in enumerate(named or ()):
                    yield from self.unknown(where, name, (*path, key, at))

    def unknown(self, section: str, name: str, path: Path) -> Iterator[Problem]:
        """That there is no entry of this name."""
        names = self._names[section]
        if name not in names and section not in self._nameless:
            what = SECTIONS[section].replace("_", " ")
            yield Problem(path, f"there is no {what} `{name}`{names.hint(name)}")
