"""URLs of buyers and sellers where they are shown. Pure.

Many tools take their key in the query of a URL (`?api_key=…`), and somebody may have put a password before the host.
For a sentence, a log or a list of changes it is enough to say where a URL leads: `in_short`. Who reads an entry in
order to change it needs its parts: `masked` hides values one by one and leaves their names and macros; what is sent
back with such a mask takes its values from the URL that is there, where it leads to the same place: `unmasked`.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from auction.market.macros import MACROS

_USER: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")
_SHORT: Final = "..."


def in_short(url: str) -> str:
    """Where it leads: `https://tracker.example/p?...`."""
    place, asks, _ = url.partition("?")
    return _USER.sub(rf"\1{_SHORT}@", place) + (f"?{_SHORT}" if asks else "")


def masked(url: str, mask: str) -> str:
    """The URL with `mask` for whatever may be secret: `https://crm.example/p?key=(kept)&id={lead_id}`."""
    place, asks, query = url.partition("?")
    hidden = [_joined(name, value if _is_open(value) else mask) for name, value in _parts(query)]
    return _place(place, mask) + asks + "&".join(hidden)


def unmasked(sent: str, before: str, mask: str) -> str | None:
    """The URL that was sent, with the values of `before` wherever it says `mask`.

    None where that cannot be told: it leads elsewhere than `before`; or `before` has no such value, or several of the
    same name of which not all were sent back.
    """
    if mask not in sent:
        return sent
    place, asks, query = sent.partition("?")
    place_before, _, query_before = before.partition("?")
    if place != _place(place_before, mask):
        return None
    kept: dict[str | None, list[str]] = {}
    for name, value in _parts(query_before):
        if not _is_open(value):
            kept.setdefault(name, []).append(value)
    parts = _parts(query)
    wanted = Counter(name for name, value in parts if value == mask)
    if any(len(kept.get(name, ())) != count for name, count in wanted.items()):
        return None
    values = {name: iter(kept[name]) for name in wanted}
    whole = [_joined(name, next(values[name]) if value == mask else value) for name, value in parts]
    return place_before + asks + "&".join(whole)


def _parts(query: str) -> list[tuple[str | None, str]]:
    """Name and value of each parameter; one without `=` is a value without a name."""
    found: list[tuple[str | None, str]] = []
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        found.append((name, value) if equals else (None, name))
    return found


def _joined(name: str | None, value: str) -> str:
    return value if name is None else f"{name}={value}"


def _is_open(value: str) -> bool:
    """Whether there is no secret in it: nothing, or a macro and nothing else."""
    return not value or (value[0] + value[-1] == "{}" and value[1:-1] in MACROS)


def _place(place: str, mask: str) -> str:
    return _USER.sub(lambda user: f"{user[1]}{mask}@", place)
