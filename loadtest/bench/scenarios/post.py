"""The post path: claim, intent and sale durable in SQLite, the lead sent to its buyer, 16 at once."""

from __future__ import annotations

from loadtest.bench.contenders import SERVER, VALKEY
from loadtest.bench.figures import Figure
from loadtest.bench.sold import posted
from loadtest.bench.stage import CONNECTIONS, Stage


def run(stage: Stage) -> list[Figure]:
    """CPU per post, posts per second, and how long sellers wait."""
    taken = posted(stage, CONNECTIONS, stage.pace.round_s)
    note = f"and Valkey {taken.cpu_us(VALKEY):.0f} µs; {taken.answered} posts"
    if taken.wrong:
        note += f", not sold: {taken.wrong_told}"
    waits = f"p50 {taken.latency_us(50) / 1000:.1f} ms, p99 {taken.latency_us(99) / 1000:.1f} ms"
    return [
        Figure("post.cpu_us", "CPU per post, 16 at once", taken.cpu_us(SERVER), "µs", note),
        Figure("post.per_second", "  posts per second, one worker", taken.per_second, "/s", waits),
    ]
