"""Requests that carry a key (`Idempotency-Key`): what a store of such keys promises, whichever store it is.

A key belongs to a caller and to one request. It is begun by one *owner*, who does the work and ends it with the
answer; whoever comes with the same key meanwhile is told that it runs, and afterwards gets the answer.

The sellers' keys lie with the counters (`counters.keys`): they are many, and the ledger knows better where it
matters. For changes of the catalogue, where nothing else tells a repeat, the store is the ledger
(`ledger.request_keys`): `begin` inserts the row (its primary key lets one in), and the answer is written in the
transaction of the change itself, so that neither is there without the other.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

import msgspec


class Begun(msgspec.Struct, frozen=True):
    """The key is the owner's: do the work, then `end` it."""


class Ended(msgspec.Struct, frozen=True):
    """The same request was answered so."""

    answer: bytes


class UnderWay(msgspec.Struct, frozen=True):
    """The same request is being worked on."""


class OfAnother(msgspec.Struct, frozen=True):
    """The key is of another request."""


class TooMany(msgspec.Struct, frozen=True):
    """The caller has as many keys as are kept for one; the oldest goes at `free_at_ms`."""

    free_at_ms: int


class KeyUse(msgspec.Struct, frozen=True):
    """One request under a key. `name` stands for the key, `print_of` (16 bytes) for all that the request says."""

    caller: str
    name: bytes
    print_of: bytes
    owner: str


class RequestKeys(Protocol):
    """A store of keys. Both steps are atomic. Where one fails with `HouseError`, it is open whether it was done."""

    def begin(
        self, use: KeyUse, now_ms: int, lease_ms: int
    ) -> Awaitable[Begun | Ended | UnderWay | OfAnother | TooMany]:
        """The owner takes the key, if it is free; it is free again when the lease is over and nobody ended it."""
        ...

    def end(self, use: KeyUse, now_ms: int, answer: bytes | None) -> Awaitable[bool]:
        """The answer is kept for a day; None: there is none, and the key is free. False if it is not the owner's."""
        ...
