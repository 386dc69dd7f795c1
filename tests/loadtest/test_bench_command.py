"""The benchmark as a command: a whole run of some of it, with real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.bench.stages import means_us

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll and CPU clocks are Linux's")

ROOT = Path(__file__).parents[2]


def run(report: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtest.bench", *words, "--quick", "--report", str(report)]
    # on a busy machine the counters are late now and then, by more than production allows them
    environ = {**os.environ, "AUCTION_COUNTERS_TIMEOUT_MS": "5000"}
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=250)


def test_it_measures_our_server_and_saves_what_it_found(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bench.json"
    done = run(path, "own", "post")
    assert done.returncode == 0, done.stdout + done.stderr
    figures = {figure["key"]: figure for figure in json.loads(path.read_text())["figures"]}
    assert figures["own.p50"]["value"] > 0
    assert figures["own.p50"]["goal"]["limit"] == 1.0
    assert {"own.stage_hold", "own.stage_buyers"} <= set(figures)
    assert figures["post.cpu_us"]["value"] > 0
    assert "not sold" not in figures["post.cpu_us"]["note"]
    assert "Figures and goals" in done.stdout
    assert [path.name for path in path.parent.iterdir()] == ["bench.json"]  # its own folder is gone


def test_a_scenario_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "bench.json", "mian")
    assert done.returncode == 2
    assert "mian" in done.stderr


def test_stages_are_the_means_of_the_pings_in_between() -> None:
    before = {"hold": (1.0, 10.0)}
    after = {"hold": (1.5, 20.0), "admit": (0.2, 10.0), "idle": (0.0, 0.0)}
    assert means_us(before, after) == {"hold": pytest.approx(50_000), "admit": pytest.approx(20_000)}
