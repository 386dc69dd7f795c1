"""Whether a worker's memory stays what it is, between its 50,000th and its 300,000th ping. Takes some minutes."""

from __future__ import annotations

import time

from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.generator import LoadError
from loadtest.bench.machine import memory_mb
from loadtest.bench.scenarios.memory import CASE, LINE
from loadtest.bench.stage import CONNECTIONS, MOST_WRONG, Case, Stage

SETTLED, ENOUGH = 50_000, 300_000
STRETCH_S = 5.0
WITHIN_S = 900.0
"""A server that is too slow for that is told of, and not waited for."""


def run(
    stage: Stage,
    case: Case = CASE,
    settled: int = SETTLED,
    enough: int = ENOUGH,
    stretch_s: float = STRETCH_S,
    within_s: float = WITHIN_S,
) -> list[Figure]:
    """Memory after `enough` pings over that after `settled`. Raises `LoadError` where they take too long."""
    pings, wrong, seen = 0, 0, [(0, 0.0)]
    began_s = time.monotonic()
    with stage.apart(LINE) as ours:
        while pings < enough:
            if time.monotonic() - began_s > within_s:
                raise LoadError(f"only {pings:,} of {enough:,} pings were answered in {within_s:g} s")
            taken = stage.load(ours, case).closed(CONNECTIONS, stretch_s)
            pings, wrong = pings + taken.sent, wrong + taken.wrong.total()
            if pings >= settled:
                seen.append((pings, memory_mb(ours.watch[SERVER])))
    if wrong > pings * MOST_WRONG:
        raise LoadError(f"{wrong:,} of {pings:,} answers were wrong")
    (first, first_mb), (last, last_mb) = seen[1], seen[-1]
    peak_mb = max(mb for _, mb in seen)
    note = (
        f"{first_mb:.0f} MB after {first:,} pings, {last_mb:.0f} MB after {last:,}, never above {peak_mb:.0f}"
    )
    took_s = time.monotonic() - began_s
    return [
        Figure("soak.growth", "memory, 300,000th ping over 50,000th", last_mb / first_mb, "x", note),
        Figure("soak.took", "  time that took", took_s, "s", f"{wrong} wrong"),
    ]
