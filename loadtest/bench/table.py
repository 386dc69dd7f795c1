"""The report for people: nothing in it is cut, at 80 columns and at 120."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest.bench.figures import Figure, Report

WIDE = 110
"""From so many columns on, what is to be said besides a figure has a column of its own."""
_MET = {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}
_HEADINGS = (
    *("CPU\nµs", "Valkey\nµs", "per\nsecond", "p50\nms", "p99\nms"),
    *("server\nbusy", "buyers\nbusy", "gen.\nbusy", "asks/\nping", "wrong\n"),
)


def show(report: Report, console: Console) -> None:
    """Both tables, and what is to be said besides."""
    tables = figures_table(report.figures, wide=console.width >= WIDE), rounds_table(report.rounds)
    for table in tables:
        if table.row_count:
            console.print(table)
            console.print()
    for note in report.notes:
        console.print(f"- {note}", markup=False, highlight=False)


def figures_table(figures: list[Figure], *, wide: bool) -> Table:
    """Each figure with its goal."""
    table = Table(title="Figures and goals", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure", overflow="fold")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("goal (stretch)", justify="right", no_wrap=True)
    table.add_column("met", justify="center", no_wrap=True)
    if wide:
        table.add_column("besides", style="dim", overflow="fold")
    group = ""
    for figure in figures:
        if group not in ("", figure.key.partition(".")[0]):
            table.add_section()
        group = figure.key.partition(".")[0]
        goal = "" if figure.goal is None else figure.goal.text()
        name = Text(figure.name)
        if figure.note and not wide:
            name.append(f"\n  {figure.note}", style="dim")
        row: list[Text | str] = [
            name,
            f"{_rounded(figure.value)} {figure.unit}",
            goal,
            _MET[figure.met],
        ]
        table.add_row(*row, *([Text(figure.note)] if wide else []))
    return table


def rounds_table(rounds: dict[str, list[dict[str, Any]]]) -> Table:
    """Every contender in every case: the medians of its rounds, and who was busy meanwhile."""
    title = "Rounds with 16 connections (medians); busy: shares of a core"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("case\n", max_width=9, overflow="fold")
    table.add_column("contender\n", no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for case, contenders in rounds.items():
        shown = case
        for one in contenders:
            busy = [f"{share:.0%}" for share in one["busy"].values()]
            numbers = [f"{one['cpu_us']:.0f}", f"{one['valkey_us']:.0f}", f"{one['per_second']:.0f}"]
            numbers += [_short(one["p50_ms"]), _short(one["p99_ms"])]
            numbers += [*busy, f"{one['asks_per_ping']:.1f}", str(one["wrong"])]
            table.add_row(shown, one["name"], *numbers)
            shown = ""
        table.add_row()
    return table


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _short(value_ms: float) -> str:
    return (
        f"{value_ms:.0f}" if value_ms >= 100 else f"{value_ms:.1f}" if value_ms >= 10 else f"{value_ms:.2f}"
    )
