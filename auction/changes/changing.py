"""Entries of the catalogue changed while the house trades: one after the other, and only so many may wait.

A change reads and checks the whole catalogue on a thread, so two at once would only be in each other's way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from sqlalchemy import Engine

from auction.catalogue.documents import Kind
from auction.changes.applying import DOOR, Beside, EntryChange, change_entry
from auction.clock import Clock
from auction.errors import HouseError
from auction.tally import counts

MOST_WAITING = 32


class Changing:
    """Changes entries, in turn. `outcomes` counts the turns that were `made` and `refused` (by a rule, or because
    another process came between), and those `turned_away` because too many waited.
    """

    def __init__(self, engine: Engine, clock: Clock, most_waiting: int = MOST_WAITING) -> None:
        self.outcomes = counts()
        self.waiting = 0
        self._engine = engine
        self._clock = clock
        self._most_waiting = most_waiting
        self._lock = asyncio.Lock()

    async def change(
        self,
        kind: Kind,
        id_: str,
        make: Callable[[Any], Any],
        note: str,
        *,
        who: str = DOOR,
        expected_version: int | None = None,
        beside: Beside | None = None,
    ) -> EntryChange:
        """As `applying.change_entry`, when it is its turn. Durable when it returns; traded on within a second.

        Raises what that raises, and `HouseError` `house_full` where too many changes wait.
        """
        async with self.turn():
            return await self.now(
                kind, id_, make, note, who=who, expected_version=expected_version, beside=beside
            )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Nobody else in this process changes anything: for who reads, decides and then changes (by `now`)."""
        if self.waiting >= self._most_waiting:
            self.outcomes["turned_away",] += 1
            raise HouseError("house_full", "Too many changes wait; try again shortly.")
        self.waiting += 1
        outcome = "refused"
        try:
            async with self._lock:
                yield
            outcome = "made"
        finally:
            self.waiting -= 1
            self.outcomes[outcome,] += 1

    async def now(
        self,
        kind: Kind,
        id_: str,
        make: Callable[[Any], Any],
        note: str,
        *,
        who: str = DOOR,
        expected_version: int | None = None,
        beside: Beside | None = None,
    ) -> EntryChange:
        """As `change`, for who has the turn."""
        assert self._lock.locked(), "take a turn first"
        change = partial(
            change_entry,
            self._engine,
            kind,
            id_,
            make,
            self._clock.now_ms(),
            note,
            who=who,
            expected_version=expected_version,
            beside=beside,
        )
        return await asyncio.to_thread(change)

    async def close(self) -> None:
        """Returns when nothing is being changed any more."""
        async with self._lock:
            pass
