"""Samples and clocks put together; py-spy's text read; threads' clocks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from loadtest.processes import Process
from loadtest.profile import sampling as sampling_module
from loadtest.profile.account import Costs, by_function, by_stage, by_symbol, unplaced
from loadtest.profile.clocks import read_clocks
from loadtest.profile.sampling import SamplingError, read_samples, sampling
from loadtest.profile.stages import ASK, LEDGER, RECEIVE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads' clocks are Linux's")

CARRY = "thread (7): MainThread;run (asyncio/runners.py:1);Connection.carry (auction/buyers/connection.py:65)"
READ = (
    "thread (7): MainThread;run (asyncio/runners.py:1);Connection._readable (auction/buyers/connection.py:9)"
)
COMMIT = "thread (8): ledger-writer;Writer._run (auction/ledger/writer.py:1);do_commit (sqlalchemy/engine/default.py:1)"
IDLE = "thread (9): uvloop_0;_worker (concurrent/futures/thread.py:81)"
NEW = "thread (7): MainThread;run (asyncio/runners.py:1);thing (auction/brand_new.py:1)"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "raw.txt"
    path.write_text(f"{CARRY} 60\n{READ} 20\n{COMMIT} 5\n{IDLE} 400\nnonsense\n{NEW} 20\n")
    return path


def test_each_threads_cpu_is_shared_out_over_its_own_samples(recording: Path) -> None:
    """The loop's 400 µs over its 100 samples, the others' 50 µs over theirs; who only waits has none."""
    samples, costs = read_samples(recording), Costs(main_us=400, others_us=50)
    stages = {part.name: part for part in by_stage(samples, costs)}
    assert stages[ASK].cpu_us == pytest.approx(240)
    assert stages[RECEIVE].cpu_us == pytest.approx(80)
    assert stages[LEDGER].cpu_us == pytest.approx(50)
    assert stages[LEDGER].share == pytest.approx(50 / 450)
    assert sum(part.cpu_us for part in stages.values()) == pytest.approx(costs.whole_us)
    functions = by_function(samples, costs)
    assert functions[0].name == "Connection.carry (auction/buyers/connection.py)"
    assert functions[0].note == ASK
    assert by_symbol(samples, costs, most=1)[0].cpu_us == pytest.approx(240)


def test_a_file_in_no_stage_is_told(recording: Path) -> None:
    assert unplaced(read_samples(recording)) == ["auction/brand_new.py"]


def test_threads_have_clocks_of_their_own() -> None:
    looked = threading.Event()

    def work() -> None:
        while time.thread_time() < 0.2:
            pass
        looked.wait(30)

    before = read_clocks(os.getpid())
    thread = threading.Thread(target=work)
    thread.start()
    other = thread.native_id
    assert other is not None
    while read_clocks(os.getpid()).threads.get(other, 0) < 0.15:
        time.sleep(0.01)
    spent = read_clocks(os.getpid()).since(before)
    looked.set()
    thread.join()
    assert spent.threads[other] > 0.1
    assert 0 <= spent.kernel_share <= 1


BUSY = """
import threading, time
def spin():
    while True: sum(range(1000))
print("ready", flush=True)
spin()
"""


def allowed(folder: Path) -> bool:
    """Whether one process may look into another here."""
    try:
        with Process([sys.executable, "-c", BUSY], folder / "probe.log") as child:
            child.wait_for_line("ready")
            with sampling(child.pid, folder / "probe.txt"):
                time.sleep(0.2)
    except SamplingError:
        return False
    return True


def test_a_running_program_is_sampled_and_drawn(tmp_path: Path) -> None:
    if not allowed(tmp_path):
        pytest.skip("py-spy may not look into processes here")
    with Process([sys.executable, "-c", BUSY], tmp_path / "busy.log") as child:
        child.wait_for_line("ready")
        with sampling(child.pid, tmp_path / "raw.txt"):
            time.sleep(1.0)
        with sampling(child.pid, tmp_path / "flames.svg", svg=True):
            time.sleep(0.3)
        assert child.wait_for_line("ready")  # it runs on
    samples = read_samples(tmp_path / "raw.txt")
    assert sum(count for stack, count in samples.items() if stack.frames[-1].function == "spin") > 10
    assert (tmp_path / "flames.svg").read_text().startswith("<?xml")


def test_what_py_spy_may_not_do_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = tmp_path / "py-spy"
    refusing.write_text(
        "#!/bin/sh\necho 'Permission Denied: Try again with elevated permissions' >&2\nexit 1\n"
    )
    refusing.chmod(0o755)
    monkeypatch.setattr(sampling_module, "_pyspy", lambda: str(refusing))
    with pytest.raises(SamplingError, match="ptrace_scope"), sampling(os.getpid(), tmp_path / "raw.txt"):
        pass


@pytest.mark.slow
def test_the_profile_as_a_command(tmp_path: Path) -> None:
    """A whole quick run: a table, a JSON, a picture; or a sentence where sampling is not allowed."""
    path = tmp_path / "deep" / "profile.json"
    command = [sys.executable, "-m", "loadtest.profile", "--quick", "--report", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=Path(__file__).parents[2])
    if not allowed(tmp_path):
        assert done.returncode == 1
        assert "py-spy" in done.stderr
        return
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Where the CPU of a ping goes" in done.stdout
    assert "In no stage" not in done.stdout
    assert sorted(file.name for file in path.parent.iterdir()) == ["profile.json", "profile.svg"]
