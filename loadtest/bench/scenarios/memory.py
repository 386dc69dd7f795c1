"""What a worker holds in memory with 10,000 orders, under load."""

from __future__ import annotations

from loadtest.bench.book import Line
from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.machine import memory_mb
from loadtest.bench.stage import CONNECTIONS, Case, Stage

ORDERS = 10_000
CASE = Case("10,000 orders", "plain-10", 10)
LINE = Line("plain-10", ORDERS, plain=10)


def run(stage: Stage) -> list[Figure]:
    """Resident memory after some seconds of load; `soak` tells whether it stays."""
    with stage.apart(LINE) as ours:
        idle_mb = memory_mb(ours.watch[SERVER])
        taken = stage.load(ours, CASE).closed(CONNECTIONS, stage.pace.spell_s)
        loaded_mb = memory_mb(ours.watch[SERVER])
    note = f"{idle_mb:.0f} MB before, {taken.sent} pings, {taken.cpu_us(SERVER):.0f} µs of CPU each"
    return [Figure("memory.10000_orders", "memory of one worker with 10,000 orders", loaded_mb, "MB", note)]
