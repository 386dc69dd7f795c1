from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from loadtest.processes import Process, ProcessError

TALKER = "import sys, time; print('noise'); print('ready on 4711', flush=True); time.sleep(60)"
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print('child', child.pid, flush=True)
time.sleep(60)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_running(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_line_is_waited_for_and_the_process_ends_with_the_block(tmp_path: Path) -> None:
    with Process(python(TALKER), tmp_path / "log") as process:
        assert process.wait_for_line(r"ready on (\d+)")[1] == "4711"
        assert is_running(process.pid)
    assert not is_running(process.pid)
    assert process.end() == -signal.SIGTERM


def test_it_ends_where_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Process(python(TALKER), tmp_path / "log") as process:
        raise ZeroDivisionError
    assert not is_running(process.pid)


def test_a_line_that_does_not_come_is_an_error_with_what_was_printed(tmp_path: Path) -> None:
    with Process(python(TALKER), tmp_path / "log") as process:
        process.wait_for_line("ready")
        with pytest.raises(ProcessError, match=r"(?s)did not come to .*ready on 4711"):
            process.wait_for_line("never", within_s=0.1)


def test_half_a_line_is_not_a_line(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('ready'); sys.stdout.flush(); sys.exit(3)"
    with (
        Process(python(code), tmp_path / "log") as process,
        pytest.raises(ProcessError, match="ended with 3"),
    ):
        process.wait_for_line("ready")


def test_the_last_line_of_one_that_ended_is_seen(tmp_path: Path) -> None:
    with Process(python("print('done')"), tmp_path / "log") as process:
        assert process.wait(20) == 0
        assert process.wait_for_line("done")


def test_one_that_dies_early_is_not_waited_for(tmp_path: Path) -> None:
    dying = Process(python("raise SystemExit('no such thing')"), tmp_path / "log")
    with dying as process, pytest.raises(ProcessError, match="no such thing"):
        process.wait_for_url("http://127.0.0.1:9/", within_s=60)


def test_a_url_is_waited_for(tmp_path: Path) -> None:
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with Process(command, tmp_path / "log", cwd=tmp_path) as process:
        port = process.wait_for_line(r"port (\d+)")[1]
        process.wait_for_url(f"http://127.0.0.1:{port}/")
        with pytest.raises(ProcessError, match="did not come to"):
            process.wait_for_url(f"http://127.0.0.1:{port}/not-there", within_s=0.1)


def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    with Process(python(STUBBORN), tmp_path / "log", end_within_s=0.1) as process:
        child = int(process.wait_for_line(r"child (\d+)")[1])
        assert is_running(child)
    assert process.end() == -signal.SIGKILL
    while is_running(child):  # killed already: only its end is waited for
        os.sched_yield()


def test_the_environment_is_added_to_ours(tmp_path: Path) -> None:
    code = "import os; print(os.environ['COLOUR'], bool(os.environ['PATH']))"
    with Process(python(code), tmp_path / "log", environ={"COLOUR": "green"}) as process:
        assert process.wait_for_line("green True")


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProcessError, match="did not start"), Process(["/no/such/program"], tmp_path / "log"):
        pass
