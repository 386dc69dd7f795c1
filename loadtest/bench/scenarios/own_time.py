"""Our own time for a ping, one at a time, with ten buyers that answer at once."""

from __future__ import annotations

from loadtest.bench.figures import Figure
from loadtest.bench.stage import MAIN, Stage
from loadtest.bench.stages import means_us, read_stages
from loadtest.bench.taken import percentile


def run(stage: Stage) -> list[Figure]:
    """What the server says in `Server-Timing`; all that a seller waits; and the mean of each stage."""
    ours = stage.ours
    before = read_stages(ours.port)
    taken = stage.load(ours, MAIN).closed(1, stage.pace.spell_s / 2)
    means = means_us(before, read_stages(ours.port))
    own, whole = (
        f"p99 {percentile(values, 99) / 1000:.2f} ms" for values in (taken.own_us, taken.latencies_us)
    )
    own_ms, whole_ms = percentile(taken.own_us, 50) / 1000, taken.latency_us(50) / 1000
    return [
        Figure("own.p50", "own time per ping, one at a time (Server-Timing)", own_ms, "ms", own),
        Figure("own.whole_p50", "  all that the seller waits, wire and buyers too", whole_ms, "ms", whole),
        *(Figure(f"own.stage_{name}", f"  mean in {name}", mean_us, "µs") for name, mean_us in means.items()),
    ]
