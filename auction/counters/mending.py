"""What `look` tells of a buyer's counters, and what `mend` is told to make of them (see look.lua, mend.lua)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Literal

import msgspec

Fate = Literal["open", "over", "gone"]
"""Of a kept place: it stays; it is let go; it is held for a while yet, as its post may be repeated."""

_unpack = msgspec.msgpack.Decoder().decode
_pack = msgspec.msgpack.Encoder().encode


class Counted(msgspec.Struct, frozen=True):
    """One window: its count, and how much of that stands for places. The rest was sold."""

    count: int
    in_places: int

    @property
    def sold(self) -> int:
        """Below 0 where counts were lost and places were not."""
        return self.count - self.in_places


class Look(msgspec.Struct, frozen=True):
    """Windows by name; the kept places (`<ping_id>/<order_id>`), each with what it takes in which window; and the marks
    of returns that were given back (`naming.mark_name`)."""

    windows: dict[str, Counted]
    kept: dict[str, dict[str, int]]
    returned: frozenset[str] = frozenset()

    @property
    def steady(self) -> tuple[dict[str, int], set[str]]:
        """What is the same in two looks if nothing was kept or sold between them."""
        return {name: window.sold for name, window in self.windows.items()}, set(self.kept)


class Entry(msgspec.Struct, frozen=True):
    """What a place takes in one window of one cap."""

    cap_key: str
    spend: bool
    amount: int
    name: str
    end_ms: int


class OpenPlace(msgspec.Struct, frozen=True):
    """The place of an offer that is out. `take`: also where it is not kept; else only entries it lacks are added."""

    place: str
    take: bool
    entries: tuple[Entry, ...]


class WindowMend(msgspec.Struct, frozen=True):
    """A window in which `sold` was counted as sold, and `more` was (less, if below 0)."""

    name: str
    end_ms: int
    sold: int
    more: int


class Mending(msgspec.Struct, frozen=True):
    """What is to become of one buyer's counters. Places that are gone are held until `gone_until_ms`.

    `returned`: marks of returns that `windows` gives back, kept until `marked_until_ms`.
    """

    windows: list[WindowMend]
    kept: dict[str, Fate]
    open: list[OpenPlace]
    gone_until_ms: int
    returned: list[str] = []
    marked_until_ms: int = 0

    @property
    def changes(self) -> bool:
        """Whether there is anything to do. (An open place that is kept already may be named all the same.)"""
        differs = any(window.more for window in self.windows)
        told = bool(self.open) or bool(self.returned)
        return differs or told or any(said != "open" for said in self.kept.values())


class Mended(msgspec.Struct, frozen=True):
    """Kept places let go, and places taken for offers that are out."""

    freed: int
    taken: int


def amounts_of(packed: bytes) -> dict[str, int]:
    """What a place's record (places.lua) takes, by window."""
    amounts: defaultdict[str, int] = defaultdict(int)
    for _, _, amount, *names in _unpack(packed)[1]:
        for name in names:
            amounts[name] += int(amount)
    return dict(amounts)


def packed_mending(mending: Mending) -> bytes:
    """As mend.lua reads it: amounts are text, as a Lua number is a double."""
    plain: dict[str, Any] = {
        "windows": [[each.name, each.end_ms, str(each.sold), str(each.more)] for each in mending.windows],
        "kept": mending.kept,
        "open": [
            [
                each.place,
                each.take,
                *(
                    [entry.cap_key, int(entry.spend), str(entry.amount), entry.name, entry.end_ms]
                    for entry in each.entries
                ),
            ]
            for each in mending.open
        ],
        "until": mending.gone_until_ms,
        "returned": mending.returned,
        "marked": mending.marked_until_ms,
    }
    return _pack(plain)
