"""Whether a worker's memory stays what it is, between its 50,000th and its 300,000th ping. Takes some minutes."""

from __future__ import annotations

from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.machine import memory_mb
from loadtest.bench.scenarios.memory import CASE, LINE
from loadtest.bench.stage import CONNECTIONS, Stage

SETTLED, ENOUGH = 50_000, 300_000
STRETCH_S = 5.0


def run(stage: Stage) -> list[Figure]:
    """Memory after 300,000 pings over that after 50,000."""
    pings, seen = 0, []
    with stage.apart(LINE) as ours:
        while pings < ENOUGH:
            pings += stage.load(ours, CASE).closed(CONNECTIONS, STRETCH_S).sent
            if pings >= SETTLED:
                seen.append((pings, memory_mb(ours.watch[SERVER])))
    first_mb, last_mb = seen[0][1], seen[-1][1]
    note = f"{first_mb:.0f} MB after {seen[0][0]} pings, {last_mb:.0f} MB after {seen[-1][0]}"
    return [Figure("soak.growth", "memory, 300,000th ping over 50,000th", last_mb / first_mb, "x", note)]
