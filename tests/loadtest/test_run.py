from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from loadtest.processes import Process
from loadtest.run import Row, rows_of, table_of

ROOT = Path(__file__).parents[2]
STATS = """Type,Name,Request Count,Failure Count,Median Response Time,Requests/s,Failures/s,50%,95%,99%,100%
POST,POST /ping,103,2,37,14.71,0.1,37,350,360,400
POST,POST /post (late),0,0,0,0.0,0.0,N/A,N/A,N/A,N/A
,Aggregated,103,2,37,14.71,0.1,37,350,360,400
"""


def test_locusts_numbers_are_read() -> None:
    assert rows_of(STATS) == [
        Row("POST /ping", 103, 2, 37, 350, 360, 14.71),
        Row("POST /post (late)", 0, 0, 0, 0, 0, 0),
        Row("all", 103, 2, 37, 350, 360, 14.71),
    ]


def test_the_table_shows_them() -> None:
    shown = io.StringIO()
    Console(file=shown, width=120).print(table_of(rows_of(STATS)))
    assert shown.getvalue().splitlines()[4].replace("│", " ").split() == [
        "POST", "/ping", "103", "2", "14.7", "37", "350", "360",
    ]  # fmt: skip


def test_a_whole_exchange_under_load_answers_everything(tmp_path: Path) -> None:
    report = tmp_path / "reports" / "loadtest.html"
    command = [
        sys.executable,
        "-m",
        "loadtest.run",
        "--users",
        "4",
        "--seconds",
        "4",
        "--report",
        str(report),
    ]
    habits = {
        "LOADTEST_THINK_MS": "50",
        "LOADTEST_NONSENSE": "0.2",
        "LOADTEST_REPEAT_PING": "0.5",
        "LOADTEST_REPEAT_POST": "0.5",
    }
    with Process(command, tmp_path / "log", cwd=ROOT, environ=habits, end_within_s=60) as running:
        code = running.wait(100)
        printed = running.printed()
    assert code == 0, printed
    for name in ("POST /ping", "POST /post", "POST /ping (repeat)", "POST /ping (nonsense)", "all"):
        assert name in printed
    assert "<html" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["--users", "0"], ["--config", "not-there.yaml"]])
def test_wrong_arguments_start_nothing(arguments: list[str], tmp_path: Path) -> None:
    with Process([sys.executable, "-m", "loadtest.run", *arguments], tmp_path / "log", cwd=ROOT) as running:
        assert running.wait(30) == 2
