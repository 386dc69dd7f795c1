"""What a report looks like on a narrow screen and on a wide one: nothing is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from loadtest.bench.figures import Figure, Report
from loadtest.bench.machine import Machine
from loadtest.bench.table import show

NOTE = "1,234/s, p50 123.4 ms, server 100% busy; 1163 wrong: 1163 503 counters_unavailable"
FIGURES = [
    Figure("main.of_go", "  of bare Go net/http", 0.9876, "x", "442 µs"),
    Figure("deadline.loaded_p99", "3 of 10 silent, tmax 200 ms: p99, loaded", 210.6, "ms", NOTE),
    Figure(
        "sales.per_second", "durable sales per second, 64 posters, SQLite FULL", 12_345.6, "/s", "99999 sold"
    ),
]
ROUND = {
    "name": "aiohttp",
    "cpu_us": 12_345.6,
    "valkey_us": 1_234.5,
    "per_second": 12_345.6,
    "p50_ms": 1_234.567,
    "p99_ms": 12_345.678,
    "busy": {"server": 1.0, "buyers": 1.0, "generator": 1.0},
    "asks_per_ping": 50.004,
    "wrong": 12_345,
}


def printed(width: int) -> str:
    rounds = {f"{count} HTTP buyers, short": [ROUND, {**ROUND, "name": "floor"}] for count in (1, 50)}
    report = Report(Machine("cpu", 2, "Linux", "3.11", 0.1), False, FIGURES, rounds, ["a note"])
    output = io.StringIO()
    show(report, Console(file=output, width=width))
    return output.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut(width: int) -> None:
    text = printed(width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    rows = [line.split() for line in text.splitlines() if "aiohttp" in line]
    assert [row[row.index("aiohttp") + 1 :] for row in rows] == [
        ["12346", "1234", "12346", "1235", "12346", "100%", "100%", "100%", "50.0", "12345"]
    ] * 2
    assert "≤ 0.6 (0.5)" in text
    together = " ".join(text.split())
    assert "counters_unavailable" in together
    assert "12,346 /s" in together
