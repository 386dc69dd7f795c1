from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from loadtest.processes import Process
from loadtest.rows import names_of
from loadtest.run import main
from loadtest.shapes import make_shape

ROOT = Path(__file__).parents[2]


def written(goals: dict[str, dict[str, dict[str, float]]]) -> str:
    """A file of goals, as JSON, which is YAML."""
    return json.dumps({shape: {"requests": requests} for shape, requests in goals.items()})


def run(folder: Path, *arguments: str, **habits: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "loadtest.run", *arguments]
    environ = {f"LOADTEST_{name}".upper(): value for name, value in habits.items()}
    environ["AUCTION_COUNTERS_TIMEOUT_MS"] = "5000"  # the machine may be busy
    with Process(command, folder / "log", cwd=ROOT, environ=environ, end_within_s=60) as running:
        return running.wait(250), running.printed()


@pytest.mark.slow
def test_a_spike_by_several_processes_is_answered(tmp_path: Path) -> None:
    report, goals = tmp_path / "reports" / "loadtest.html", tmp_path / "goals.yaml"
    goals.write_text(written({"spike": {key: {"failures": 0.2} for key in names_of(make_shape("spike"))}}))
    arguments = (
        f"--shape spike --users 3 --times 4 --seconds 3 --processes 2 --goals {goals} --report {report}"
    )
    code, printed = run(
        tmp_path, *arguments.split(), think_ms="50", nonsense="0.2", repeat_ping="0.5", repeat_post="0.5"
    )
    assert code == 0, printed
    in_burst = ("POST /ping (burst)", "POST /post (burst)", "own time of /ping (burst)")
    for name in (*in_burst, "POST /ping (repeat)", "POST /ping (nonsense)", "mock buyers", "pings: "):
        assert name in printed
    html = report.read_text(encoding="utf-8")
    assert "<html" in html
    assert "own time of /ping (burst)" in html


def test_what_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    goals = tmp_path / "goals.yaml"
    goals.write_text(written({"steady": {"all": {"per_second": 1_000_000}}}))
    report = tmp_path / "loadtest.html"
    arguments = f"--users 2 --seconds 2 --goals {goals} --report {report}"
    code, printed = run(tmp_path, *arguments.split(), seller_key="nobodys", nonsense="0", think_ms="50")
    assert code == 1, printed
    assert "times: POST /ping: 401 unknown_key instead of 200" in printed
    assert "missed: POST /ping: " in printed
    assert "missed: all: per_second is " in printed


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--users", "0"], "--users"),
        (["--config", "not-there.yaml"], "not-there.yaml"),
        (["--shape", "sawtooth"], "'steady', 'spike', 'soak'"),
    ],
)
def test_wrong_arguments_start_nothing(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert text in result.output


def test_goals_that_are_wrong_start_nothing(tmp_path: Path) -> None:
    goals = tmp_path / "goals.yaml"
    goals.write_text(written({"steady": {"POST /pong": {}}}))
    result = CliRunner().invoke(main, ["--goals", str(goals)])
    assert result.exit_code == 1
    assert "goals.yaml:1: steady.requests.POST /pong: unknown request" in result.output
    assert "sellers" not in result.output
