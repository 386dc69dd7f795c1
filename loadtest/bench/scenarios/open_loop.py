"""Pings at a fixed rate, each timed from when it was due: how long sellers wait at 30, 60 and 90 % of capacity."""

from __future__ import annotations

from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.stage import MAIN, Stage
from loadtest.bench.taken import percentile

SHARES = (30, 60, 90)


def run(stage: Stage) -> list[Figure]:
    """p50, p99 and p99.9 at each share of what the server does with 16 connections."""
    figures = []
    for share in SHARES:
        rate = stage.capacity() * share / 100
        taken = stage.load(stage.ours, MAIN).at_rate(rate, stage.pace.spell_s)
        late = f"server {taken.busy(SERVER):.0%} busy; sent late by p99 {percentile(taken.late_us, 99) / 1000:.2f} ms"
        if taken.wrong:
            late += f"; {taken.wrong_told} of {taken.answered}"
        name = f"open loop at {share} % of capacity ({rate:.0f}/s)"
        for percent in (50, 99, 99.9):
            key = f"open.{share}_p{percent:g}"
            figures.append(Figure(key, f"{name}, p{percent:g}", taken.latency_us(percent) / 1000, "ms", late))
            name, late = "  the same", ""
    return figures
