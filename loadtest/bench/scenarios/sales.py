"""Durable sales with 64 posters at once, against what the disk can do one row at a time."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from statistics import median
from time import perf_counter

from loadtest.bench.contenders import SERVER
from loadtest.bench.figures import Figure
from loadtest.bench.generator import GENERATOR
from loadtest.bench.rounds import BUYERS
from loadtest.bench.sold import posted
from loadtest.bench.stage import Stage

POSTERS = 64
_ROW = b"x" * 400
"""About what a sale writes."""


def run(stage: Stage) -> list[Figure]:
    """Sales per second, single-row commits per second in turns with them, and the ratio."""
    sales, commits, busy, sold = [], [], [], 0
    for _ in range(stage.pace.rounds):
        commits.append(commits_per_second(stage.folder / "commits.sqlite3", stage.pace.round_s / 2))
        taken = posted(stage, POSTERS, stage.pace.round_s)
        sales.append((taken.answered - taken.wrong.total()) / taken.seconds)
        sold += taken.answered - taken.wrong.total()
        busy.append({name: taken.busy(name) for name in (SERVER, BUYERS, GENERATOR)})
    shares = ", ".join(f"{name} {median(each[name] for each in busy):.0%}" for name in busy[0])
    ratio = median(sale / commit for sale, commit in zip(sales, commits, strict=True))
    note = f"{median(commits):.0f} single-row commits per second"
    return [
        Figure(
            "sales.per_second",
            "durable sales per second, 64 posters, SQLite FULL",
            median(sales),
            "/s",
            f"{sold} sold; busy: {shares}",
        ),
        Figure("sales.of_commits", "  of single-row commits of the same disk", ratio, "x", note),
    ]


def commits_per_second(path: Path, seconds: float) -> float:
    """Transactions of one row each, as the ledger is set: WAL, every commit synced."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("CREATE TABLE IF NOT EXISTS sale (id INTEGER PRIMARY KEY, row BLOB)")
        begun_s, done = perf_counter(), 0
        while perf_counter() - begun_s < seconds:
            conn.execute("INSERT INTO sale (row) VALUES (?)", (_ROW,))
            done += 1
        return done / (perf_counter() - begun_s)
