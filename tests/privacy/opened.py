"""All that a house keeps, as one who has its keys would read it: every row, every counter, every byte of their files,
and within them whatever any of its keys opens."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from auction.counters.link import Link
from auction.errors import HouseError
from auction.ledger.schema import metadata
from auction.ledger.sealing import Sealer

_BASE64 = re.compile(rb"[A-Za-z0-9+/]{40,}={0,2}")


class Opener:
    """Opens what the house seals. `about` are the things that a seal can be bound to: ids, names of keys."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealers = (sealer, Sealer([sealer.keyed_hash("seal of answers", b"")]))
        self.about: set[bytes] = set()
        self.opened = 0

    def all_in(self, raw: bytes) -> Iterator[bytes]:
        """The bytes themselves, and all that can be opened in them. A seal goes to the end of its value."""
        yield raw
        texts = [raw, *(b64decode(raw) for _ in [0] if _BASE64.fullmatch(raw) and len(raw) % 4 == 0)]
        for text in texts:
            for sealer in self._sealers:
                at = text.find(sealer.name)
                while at >= 0:
                    yield from self._tried(sealer, text[at:])
                    at = text.find(sealer.name, at + 1)

    def _tried(self, sealer: Sealer, sealed: bytes) -> Iterator[bytes]:
        for about in self.about:
            try:
                yield sealer.open(sealed, about)
            except HouseError:
                continue
            self.opened += 1


def rows_of(engine: Engine) -> list[tuple[str, bytes]]:
    """Every value of every row, with where it stands."""
    found = []
    with engine.connect() as conn:
        for table in metadata.sorted_tables:
            for row in conn.execute(table.select()).mappings():
                found += [(f"{table.name}.{name}", as_bytes(value)) for name, value in row.items()]
    return found


async def counters_of(link: Link) -> list[tuple[str, bytes]]:
    """Every key of every type, with all that is in it."""
    found = []
    for key in await link.call("KEYS", "*"):
        kind = (await link.call("TYPE", key)).decode()
        ask: tuple[str | bytes, ...] = {
            "string": ("GET", key),
            "hash": ("HGETALL", key),
            "zset": ("ZRANGE", key, "0", "-1", "WITHSCORES"),
            "set": ("SMEMBERS", key),
            "list": ("LRANGE", key, "0", "-1"),
        }[kind]
        found += [(f"{kind} {key!r}", one) for one in (key, *flat(await link.call(*ask)))]
    slow = await link.call("SLOWLOG", "GET", "-1")
    return found + [("slow log", one) for one in flat(slow)]


def commands_in(folder: Path) -> list[tuple[str, bytes]]:
    """Every word of the append-only files, which must be plain commands; and the files as they are."""
    found = []
    for path in sorted(folder.glob("appendonlydir/*.aof")):
        raw = path.read_bytes()
        assert not raw.startswith(b"REDIS"), "CONFIG SET aof-use-rdb-preamble no"
        found += [(path.name, word) for word in (raw, *words_of(raw))]
    return found


def words_of(raw: bytes) -> Iterator[bytes]:
    """The words of commands in RESP."""
    at = 0
    while at < len(raw):
        end = raw.index(b"\r\n", at)
        if raw[at : at + 1] == b"$":
            length = int(raw[at + 1 : end])
            yield raw[end + 2 : end + 2 + length]
            end += 2 + length
        at = end + 2


def flat(value: Any) -> Iterator[bytes]:
    """What a reply holds."""
    if isinstance(value, dict):
        value = [one for pair in value.items() for one in pair]
    if isinstance(value, list | tuple | set):
        for one in value:
            yield from flat(one)
    else:
        yield as_bytes(value)


def as_bytes(value: object) -> bytes:
    """A value as it would be found in a file."""
    return value if isinstance(value, bytes) else str(value).encode()


def places_with(
    opener: Opener, kept: Iterable[tuple[str, bytes]], planted: Iterable[str]
) -> dict[str, set[str]]:
    """Which of these can be read where."""
    needles = {one: one.encode() for one in planted}
    found: dict[str, set[str]] = {}
    for where, raw in kept:
        for text in opener.all_in(raw):
            here = {one for one, needle in needles.items() if needle in text.lower()}
            if here:
                found.setdefault(where, set()).update(here)
    return found
