"""The report for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from loadtest.bench.figures import Figure, Report


def show(report: Report, console: Console) -> None:
    """Both tables, and what is to be said besides."""
    for table in (figures_table(report.figures), rounds_table(report.rounds)):
        if table.row_count:
            console.print(table)
    for note in report.notes:
        console.print(f"- {note}", markup=False, highlight=False)


def figures_table(figures: list[Figure]) -> Table:
    """Each figure with its goal."""
    table = Table(title="Figures and goals")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("goal", justify="right")
    table.add_column("met", justify="center")
    table.add_column("besides", style="dim")
    group = ""
    for figure in figures:
        if group not in ("", figure.key.partition(".")[0]):
            table.add_section()
        group = figure.key.partition(".")[0]
        goal = "" if figure.goal is None else figure.goal.text()
        met = {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}[figure.met]
        table.add_row(figure.name, f"{_rounded(figure.value)} {figure.unit}", goal, met, figure.note)
    return table


def rounds_table(rounds: dict[str, list[dict[str, Any]]]) -> Table:
    """Every contender in every case: the medians of its rounds, and who was busy meanwhile."""
    table = Table(title="Rounds with 16 connections (medians); busy: shares of a core")
    for heading in ("case", "contender"):
        table.add_column(heading)
    for heading in (
        "CPU µs",
        "Valkey µs",
        "per second",
        "p50 ms",
        "p99 ms",
        "server",
        "buyers",
        "generator",
        "asks/ping",
        "wrong",
    ):
        table.add_column(heading, justify="right")
    for case, contenders in rounds.items():
        shown = case
        for one in contenders:
            busy = [f"{share:.0%}" for share in one["busy"].values()]
            numbers = [f"{one['cpu_us']:.0f}", f"{one['valkey_us']:.0f}", f"{one['per_second']:.0f}"]
            numbers += [
                f"{one['p50_ms']:.2f}",
                f"{one['p99_ms']:.2f}",
                *busy,
                f"{one['asks_per_ping']:.2f}",
                str(one["wrong"]),
            ]
            table.add_row(shown, one["name"], *numbers)
            shown = ""
        table.add_section()
    return table


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
