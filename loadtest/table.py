"""The tables at the end of a run, for people: each figure beside its goal, and what the processes used."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from loadtest.goals import AT_LEAST, Goal, Goals, is_met
from loadtest.rows import ALL, Row, is_request
from loadtest.watch import Use

_NONE = Goal()


def table_of(rows: Sequence[Row], goals: Goals) -> Table:
    """The answers. A figure that has a goal shows it: `29 ≤ 250` was reached, `312 > 250` was not."""
    table = Table(title="Answers, in milliseconds")
    table.add_column("request", no_wrap=True)
    for heading in ("requests", "failures", "per second", "p50", "p95", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        if row is rows[-1]:
            table.add_section()
        goal = goals.requests.get(row.name, _NONE)
        table.add_row(
            row.name,
            str(row.requests),
            _failures(row, goal) if is_request(row.name) else "",
            _figure("per_second", row.per_second, goal.per_second),
            _figure("p50_ms", row.p50_ms, goal.p50_ms),
            _figure("p95_ms", row.p95_ms, goal.p95_ms),
            _figure("p99_ms", row.p99_ms, goal.p99_ms),
        )
    return table


def uses_table(uses: Sequence[Use]) -> Table:
    """What each part of the run took of the machine."""
    table = Table(title="Processes: share of one core, memory in MB")
    table.add_column("who", no_wrap=True)
    for heading in ("processes", "CPU", "busiest second", "memory", "at the end"):
        table.add_column(heading, justify="right", no_wrap=True)
    for use in uses:
        shares = (f"{use.cpu:.0%}", f"{use.busiest_cpu:.0%}")
        table.add_row(use.name, str(use.processes), *shares, f"{use.first_mb:.0f}", f"{use.last_mb:.0f}")
    return table


def _failures(row: Row, goal: Goal) -> str:
    allowed = goal.failures or 0.0
    if not row.failures or (row.name == ALL and goal.failures is None):
        return str(row.failures)
    shown = f"{row.failures} {_sign('failures', row.failed, allowed)} {allowed:.2%}"
    return shown if row.failed <= allowed else f"[red]{shown}[/red]"


def _figure(key: str, value: float, goal: float | None) -> str:
    shown = f"{value:.1f}" if key in AT_LEAST else f"{value:.0f}" if value >= 10 else f"{value:.2g}"
    if goal is None:
        return shown
    shown += f" {_sign(key, value, goal)} {goal:g}"
    return shown if is_met(key, value, goal) else f"[red]{shown}[/red]"


def _sign(key: str, value: float, goal: float) -> str:
    if key in AT_LEAST:
        return "≥" if value >= goal else "<"
    return "≤" if value <= goal else ">"
