from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from loadtest.goals import Goal, Goals
from loadtest.rows import ALL, OWN, PING, Row
from loadtest.table import table_of, uses_table
from loadtest.watch import Use


def cells(table: Table) -> list[list[str]]:
    shown = io.StringIO()
    Console(file=shown, width=130).print(table)
    lines = [line for line in shown.getvalue().splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_figures_stand_beside_their_goals() -> None:
    rows = [
        Row(PING, 200, 3, 29.4, 350, 1400, 20.04),
        Row(OWN, 200, 0, 0.82, 3.1, 12, 20.04),
        Row(ALL, 200, 3, 29.4, 350, 1400, 20.04),
    ]
    goal = Goal(p50_ms=250, p99_ms=1000, failures=0.01, per_second=15)
    assert cells(table_of(rows, Goals({PING: goal, OWN: Goal(p50_ms=0.5)}))) == [
        ["POST /ping", "200", "3 > 1.00%", "20.0 ≥ 15", "29 ≤ 250", "350", "1400 > 1000"],
        ["own time of /ping", "200", "", "20.0", "0.82 > 0.5", "3.1", "12"],
        ["all", "200", "3", "20.0", "29", "350", "1400"],
    ]


def test_failures_that_may_be() -> None:
    rows = [Row(PING, 200, 2, 1, 1, 1, 9), Row(ALL, 200, 0, 1, 1, 1, 9)]
    (ping, total) = cells(table_of(rows, Goals({PING: Goal(failures=0.01, per_second=10)})))
    assert ping[2:4] == ["2 ≤ 1.00%", "9.0 < 10"]
    assert total[2] == "0"


def test_what_the_processes_took() -> None:
    uses = [Use("exchange", 2, 0.314, 0.961, 98.4, 101.6)]
    assert cells(uses_table(uses)) == [["exchange", "2", "31%", "96%", "98", "102"]]
