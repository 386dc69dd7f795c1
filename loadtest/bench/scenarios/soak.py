"""Whether a worker's memory stays what it is, between its 50,000th and its 300,000th ping. Takes some minutes."""

from __future__ import annotations

import time

from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.generator import LoadError
from loadtest.bench.machine import memory_mb
from loadtest.bench.scenarios.memory import CASE, LINE
from loadtest.bench.stage import CONNECTIONS, MOST_WRONG, Stage

SETTLED, ENOUGH = 50_000, 300_000
STRETCH_S = 5.0
WITHIN_S = 900.0
"""A server that is too slow for that is told of, and not waited for."""


def run(stage: Stage) -> list[Figure]:
    """Memory after 300,000 pings over that after 50,000. Raises `LoadError` where they take too long."""
    pings, wrong, seen = 0, 0, [(0, 0.0)]
    began_s = time.monotonic()
    with stage.apart(LINE) as ours:
        while pings < ENOUGH:
            if time.monotonic() - began_s > WITHIN_S:
                raise LoadError(f"only {pings:,} of {ENOUGH:,} pings were answered in {WITHIN_S:g} s")
            taken = stage.load(ours, CASE).closed(CONNECTIONS, STRETCH_S)
            pings, wrong = pings + taken.sent, wrong + taken.wrong.total()
            if pings >= SETTLED:
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
        Figure("soak.took", "  time that took", took_s, "s", f"{wrong:,} answers wrong"),
    ]
