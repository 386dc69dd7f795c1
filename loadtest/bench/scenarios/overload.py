"""More pings than the server can do: what it serves then, how fast, and how fast it refuses the rest."""

from __future__ import annotations

from loadtest.bench import book
from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.stage import MAIN, Stage
from loadtest.bench.taken import Taken, percentile

SHARES = (1.2, 2.0)
WARM_S = 1.5
"""A burst is let in: an overload has to last before anybody is refused."""


def run(stage: Stage) -> list[Figure]:
    """Pings at 1.2 times and at twice the capacity, each timed from when it was due."""
    figures = []
    for share in SHARES:
        rate = stage.capacity() * share
        taken = stage.load(stage.ours, MAIN).at_rate(rate, stage.pace.spell_s, WARM_S)
        figures += of_one(share, rate, stage.capacity(), taken)
    return figures


def of_one(share: float, rate: float, capacity: float, taken: Taken) -> list[Figure]:
    """The figures of one stretch at `share` times the capacity."""
    served, refused = taken.right_us, taken.wrong_us
    note = f"{rate:.0f}/s, server {taken.busy(SERVER):.0%} busy"
    late = f"sent late by p99 {percentile(taken.late_us, 99) / 1000:.1f} ms"
    over_ms = max(0.0, percentile(served, 99) / 1000 - book.TMAX_MS)
    refused_share = 100 * len(refused) / max(1, taken.answered)
    told = f"p50 {percentile(refused, 50) / 1000:.1f} ms; {taken.wrong_told}" if refused else ""
    rows = (
        ("goodput", "offers, of capacity", 100 * len(served) / taken.seconds / capacity, "%", note),
        ("p50", "an offer came after, p50", percentile(served, 50) / 1000, "ms", late),
        ("p99", "  the same, p99", percentile(served, 99) / 1000, "ms", ""),
        ("overrun_p99", f"  past its tmax of {book.TMAX_MS} ms, p99", over_ms, "ms", ""),
        ("refused", "others, of all", refused_share, "%", ""),
        ("refused_p99", "  came after, p99", percentile(refused, 99) / 1000, "ms", told),
    )
    return [
        Figure(f"overload.{share:g}_{key}", f"{share:g} times capacity: {name}", value, unit, more)
        for key, name, value, unit, more in rows
    ]
