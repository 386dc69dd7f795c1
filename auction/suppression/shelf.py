"""The lists as one worker holds them: mapped files, made from the ledger when a list changes.

The files lie in the data folder, one a list and version, and whichever worker comes first makes them for all. They
can be thrown away: the ledger is the truth.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from sqlalchemy import Connection

from auction import log
from auction.ledger.reader import Reader
from auction.ledger.suppression_store import ListState, runs, states
from auction.market.model import FieldValue, SuppressionList
from auction.suppression.buckets import PrintFile, write_file
from auction.suppression.prints import Form, Prints, one_spelling


class Shelf:
    """All lists. `refresh` now and then; `holds` as often as you like."""

    def __init__(self, reader: Reader, folder: Path, prints: Prints) -> None:
        self._reader = reader
        self._folder = folder
        self._prints = prints
        self._held: dict[str, tuple[ListState, PrintFile]] = {}
        self.hits = 0

    @property
    def entries(self) -> Mapping[str, int]:
        """How many entries each list has."""
        return {list_id: len(held) for list_id, (_, held) in self._held.items()}

    def hit(
        self, lists: Iterable[SuppressionList], values: Mapping[str, FieldValue]
    ) -> SuppressionList | None:
        """As `look`, and counted."""
        found = self.look(lists, values)
        self.hits += found is not None
        return found

    def look(
        self, lists: Iterable[SuppressionList], values: Mapping[str, FieldValue]
    ) -> SuppressionList | None:
        """The first of these lists that one of the values stands in. Some microseconds a list."""
        for one in lists:
            held = self._held.get(one.id)
            if held is None:
                continue
            state, file = held
            for name in one.fields:
                value = values.get(name)
                if isinstance(value, str) and self._stands_in(value, cast(Form, state.form), file):
                    return one
        return None

    def look_by_digest(
        self, lists: Iterable[SuppressionList], digests: Mapping[str, str]
    ) -> SuppressionList | None:
        """The first of these lists that a field stands in of which only the SHA-256 is known (hex, of the one spelling
        of `market.hashing`). A list that came as another kind of hash cannot tell."""
        for one in lists if digests else ():
            held = self._held.get(one.id)
            if held is None or held[0].form != "sha256":
                continue
            for name in one.fields:
                digest = digests.get(name)
                if digest is not None and self._prints.of_hash(digest, "sha256") in held[1]:
                    return one
        return None

    async def refresh(self) -> bool:
        """Takes up lists that changed; True if there were any. Raises `HouseError` where the ledger is away."""
        found = await self._reader.read(states)
        stale = [
            state
            for state in found.values()
            if state.list_id not in self._held or self._held[state.list_id][0].version != state.version
        ]
        for state in stale:
            path = await self._reader.read(lambda conn, state=state: self._made(conn, state))  # type: ignore[misc]
            if path is None:  # it changed once more
                continue
            fresh = await asyncio.to_thread(PrintFile, path)
            old = self._held.get(state.list_id)
            self._held[state.list_id] = (state, fresh)
            if old is not None:
                old[1].close()
            log.event("suppression_list", list=state.list_id, version=state.version, entries=len(fresh))
        return bool(stale)

    def _stands_in(self, value: str, form: Form, file: PrintFile) -> bool:
        """As it is written, and in one spelling."""
        if self._prints.of_value(value, form) in file:
            return True
        low = one_spelling(value)
        return low != value and self._prints.of_value(low, form) in file

    def close(self) -> None:
        """Let go of all files."""
        for _, file in self._held.values():
            file.close()
        self._held.clear()

    def _made(self, conn: Connection, state: ListState) -> Path | None:
        """The file of this version; made here if no other worker has made it. Runs on a reader's thread."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{state.list_id}.{state.version}"
        with (self._folder / f"{state.list_id}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_size == state.entries * 8:
                return path
            if states(conn).get(state.list_id) != state:
                return None
            write_file(path, runs(conn, state))
            for older in self._folder.glob(f"{state.list_id}.*"):
                if older.suffix[1:].isdigit() and int(older.suffix[1:]) < state.version:
                    older.unlink(missing_ok=True)
        return path
