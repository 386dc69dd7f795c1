"""What the mock was sent: a bounded memory, newest kept."""

from __future__ import annotations

from collections import deque

import msgspec

from buyers_mock.manner import NOT_JSON, Play
from buyers_mock.player import Kind

MOST_BYTES = 64 * 1024 * 1024
"""Of bodies and keys kept, however few entries they are."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One request as it came in, and what was done about it."""

    n: int
    at_ms: int
    buyer: str
    kind: Kind
    key: bytes | None
    body: bytes
    play: Play


class Shown(msgspec.Struct, frozen=True):
    """An entry as `GET /_log` shows it.

    `answered` is what the buyer decided, `fault` how its answer was spoiled; a body that is no JSON is text.
    """

    n: int
    at_ms: int
    buyer: str
    kind: Kind
    key: str | None
    body: msgspec.Raw
    answered: str
    fault: str | None
    repeat: bool


class Log:
    """The last `most_entries` requests (0: none are kept), and at most 64 MiB of them.

    `last` is the number of the newest; `dropped` counts those that were pushed out.
    """

    def __init__(self, most_entries: int = 10_000) -> None:
        self.most_entries = most_entries
        self.dropped = 0
        self.last = 0
        self._entries: deque[Entry] = deque()
        self._bytes = 0

    def add(self, at_ms: int, buyer: str, kind: Kind, key: bytes | None, body: bytes, play: Play) -> None:
        """Keep a request; the oldest goes where there is no room."""
        if not self.most_entries:
            return
        self.last += 1
        self._entries.append(Entry(self.last, at_ms, buyer, kind, key, body, play))
        self._bytes += len(body) + len(key or b"")
        while len(self._entries) > self.most_entries or self._bytes > MOST_BYTES:
            oldest = self._entries.popleft()
            self._bytes -= len(oldest.body) + len(oldest.key or b"")
            self.dropped += 1

    def clear(self) -> None:
        """Forget all entries. Numbers go on, so that a reader's `after` keeps its meaning."""
        self._entries.clear()
        self._bytes = 0
        self.dropped = 0

    def entries(self, *, buyer: str | None = None, kind: str | None = None, after: int = 0) -> list[Shown]:
        """What is kept with a number above `after`, oldest first."""
        return [
            _shown(entry)
            for entry in self._entries
            if entry.n > after and buyer in (None, entry.buyer) and kind in (None, entry.kind)
        ]


def _shown(entry: Entry) -> Shown:
    try:
        msgspec.json.decode(entry.body)
        body = msgspec.Raw(entry.body)
    except NOT_JSON:
        body = msgspec.Raw(msgspec.json.encode(entry.body.decode("utf-8", "replace")))
    key = None if entry.key is None else entry.key.decode("latin-1")
    play = entry.play
    return Shown(
        entry.n, entry.at_ms, entry.buyer, entry.kind, key, body, play.answered, play.fault, play.repeat
    )
