"""The sellers' `Idempotency-Key`s, kept by the counters: how many, how much of each, and for how long.

A caller cannot fill the store: it has at most `most_keys`, and no key is begun while its records are longer than
`BYTES_A_KEY` each on average. What a name and an answer are, is the caller's of this; here they are bytes.
"""

from __future__ import annotations

from asyncio import Future
from typing import Any

from auction.counters import scripts
from auction.counters.counters import DAY_MS
from auction.counters.link import Link
from auction.counters.naming import request_keys
from auction.request_keys import Begun, Ended, KeyUse, OfAnother, TooMany, UnderWay

KEPT_MS = DAY_MS
BYTES_A_KEY = 1_024


class CountedKeys:
    """`RequestKeys` on the counters. Like all steps on them, a call is under way when the method returns."""

    def __init__(self, link: Link, most_keys: int) -> None:
        self._link = link
        self._most_keys = most_keys

    def begin(
        self, use: KeyUse, now_ms: int, lease_ms: int
    ) -> Future[Begun | Ended | UnderWay | OfAnother | TooMany]:
        """See `RequestKeys`. Raises `CountersUnavailable`."""
        return self._link.run(
            scripts.BEGIN_KEY,
            _begun,
            *request_keys(use.caller),
            now_ms,
            use.name,
            use.print_of,
            use.owner,
            now_ms + lease_ms,
            now_ms + KEPT_MS,
            self._most_keys,
            self._most_keys * BYTES_A_KEY,
        )

    def end(self, use: KeyUse, now_ms: int, answer: bytes | None) -> Future[bool]:
        """See `RequestKeys`. Raises `CountersUnavailable`."""
        answers = () if answer is None else (answer,)
        return self._link.run(
            scripts.END_KEY,
            bool,
            *request_keys(use.caller),
            now_ms,
            use.name,
            use.owner,
            now_ms + KEPT_MS,
            *answers,
        )


def _begun(reply: list[Any]) -> Begun | Ended | UnderWay | OfAnother | TooMany:
    kind = reply[0]
    if kind == 0:
        return Begun()
    if kind == 1:
        return Ended(reply[1])
    if kind == 4:
        return TooMany(reply[1])
    return UnderWay() if kind == 2 else OfAnother()
