"""The one place that reads the wall clock. Pure rooms are given the time; tests give a clock that they move."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time to the rooms that do I/O."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock, shifted by `offset_ms` (0 but in rehearsals: `AUCTION_CLOCK_OFFSET_MS`)."""

    def __init__(self, offset_ms: int = 0) -> None:
        self._offset_ms = offset_ms

    def now_ms(self) -> int:
        """Milliseconds since the epoch, UTC, plus the offset."""
        return time.time_ns() // 1_000_000 + self._offset_ms


class MovedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time it was set to."""
        return self._now_ms

    def move(self, by_ms: int) -> None:
        """Forward (or back) by `by_ms`."""
        self._now_ms += by_ms
