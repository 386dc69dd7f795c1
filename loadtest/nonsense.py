"""Pings that no exchange may take: each must be answered 4xx with a problem that says why. PURE, seeded."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import msgspec


class Nonsense(msgspec.Struct, frozen=True):
    """What is wrong, for people, and the body to send."""

    what: str
    body: bytes


def make_nonsense(ping: Mapping[str, Any], rng: Random) -> Nonsense:
    """One of the ways to spoil `ping`, a request that would be fine."""
    what = rng.choice(tuple(_WAYS))
    return Nonsense(what, _spoiled(what, ping))


def all_nonsense(ping: Mapping[str, Any]) -> list[Nonsense]:
    """Every way to spoil `ping`."""
    return [Nonsense(what, _spoiled(what, ping)) for what in _WAYS]


_WAYS: dict[str, dict[str, Any] | bytes] = {
    "no body": b"",
    "no JSON": b'{"campaign": "sol',
    "no object": b"[1, 2, 3]",
    "not UTF-8": b'{"campaign": "\xff\xfe"}',
    "no campaign": {"campaign": None},
    "a campaign that is a number": {"campaign": 7},
    "a campaign that is not there": {"campaign": "no-such-campaign"},
    "no lead": {"lead": None},
    "a lead that is a list": {"lead": ["TX", "75001"]},
    "a tmax that is a word": {"tmax": "soon"},
    "a floor below nothing": {"floor": -1},
    "a key that is not known": {"colour": "green"},
}


def _spoiled(what: str, ping: Mapping[str, Any]) -> bytes:
    change = _WAYS[what]
    return change if isinstance(change, bytes) else msgspec.json.encode({**ping, **change})
