"""Which workers are silent, pure: what one watcher saw of the others, in its own time.

Silence is added up over the watcher's own looks, and no look adds more than a few beats. So neither a watcher that
slept nor a ledger that was away for all makes everybody look dead: they are given time to beat again.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from auction.ledger.records import Worker

MOST_BEATS = 3
"""What one look adds at most, in beats."""


class _Seen(msgspec.Struct):
    beats: int
    silent_s: float = 0.0


class Vigil:
    """One watcher's eyes on the others."""

    def __init__(self, lease_s: float, beat_s: float) -> None:
        self._lease_s = lease_s
        self._most_s = MOST_BEATS * beat_s
        self._seen: dict[str, _Seen] = {}
        self._looked_s: float | None = None

    def look(self, workers: Sequence[Worker], at_s: float) -> list[Worker]:
        """Those that have been silent for a whole lease, as they were seen `at_s` (by a clock that only runs on)."""
        since_s = 0.0 if self._looked_s is None else min(max(0.0, at_s - self._looked_s), self._most_s)
        self._looked_s = at_s
        seen: dict[str, _Seen] = {}
        for worker in workers:
            before = self._seen.get(worker.id)
            if before is None or before.beats != worker.beats:
                before = _Seen(worker.beats)
            else:
                before.silent_s += since_s
            seen[worker.id] = before
        self._seen = seen
        return [worker for worker in workers if seen[worker.id].silent_s >= self._lease_s]
