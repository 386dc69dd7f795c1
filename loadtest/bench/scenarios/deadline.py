"""Three of ten buyers never answer, and the seller waits for at most 200 ms."""

from __future__ import annotations

from loadtest.bench import book
from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.stage import Case, Stage

CASE = Case("3 of 10 silent", "silent-3", 10)
IDLE_PER_S = 40.0
LOADED_SHARE = 0.6


def run(stage: Stage) -> list[Figure]:
    """When the answer came, of all pings that were due: at 40 a second, and at 60 % of what the server can do."""
    spells = (("idle", IDLE_PER_S), ("loaded", stage.capacity() * LOADED_SHARE))
    figures = []
    for name, rate in spells:
        taken = stage.load(stage.ours, CASE, tmax_ms=book.SHORT_TMAX_MS).at_rate(rate, stage.pace.spell_s)
        note = f"{rate:.0f}/s, p50 {taken.latency_us(50) / 1000:.1f} ms, server {taken.busy(SERVER):.0%} busy"
        if taken.wrong:
            note += f"; {taken.wrong_told}"
        p99_ms = taken.latency_us(99) / 1000
        figures.append(
            Figure(f"deadline.{name}_p99", f"3 of 10 silent, tmax 200 ms: p99, {name}", p99_ms, "ms", note)
        )
    return figures
