from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from loadtest.processes import Process
from loadtest.watch import Watch, family

BUSY = "print('on', flush=True)\nwhile True: pass"
IDLE = "import sys; print('on', flush=True); sys.stdin.read(); import time; time.sleep(60)"
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print('child', child.pid, flush=True)
time.sleep(60)
"""
GONE = 2**22 + 1  # no system gives such an id


def test_who_is_busy_is_told_from_who_is_not(tmp_path: Path) -> None:
    looks = threading.Semaphore(0)
    with (
        Process([sys.executable, "-c", BUSY], tmp_path / "busy") as busy,
        Process([sys.executable, "-c", IDLE], tmp_path / "idle") as idle,
    ):
        busy.wait_for_line("on")
        idle.wait_for_line("on")

        def members() -> dict[str, list[psutil.Process]]:
            looks.release()
            return {"busy": family(busy.pid), "idle": family(idle.pid), "nobody": family(GONE)}

        with Watch(members, every_s=0.1) as watch:
            for _ in range(6):
                assert looks.acquire(timeout=30)
    one, other, nobody = watch.uses()
    assert (one.name, other.name, nobody.name) == ("busy", "idle", "nobody")
    assert one.processes == other.processes == 1
    assert one.busiest_cpu >= one.cpu > other.cpu
    assert one.cpu > 0.05  # it may have to share its core with many
    assert other.cpu < 0.05
    assert one.first_mb > 1
    assert one.last_mb > 1
    assert (nobody.processes, nobody.cpu, nobody.last_mb) == (0, 0, 0)


def test_a_family_is_all_below_one(tmp_path: Path) -> None:
    with Process([sys.executable, "-c", PARENT], tmp_path / "log", end_within_s=0.1) as parent:
        child = int(parent.wait_for_line(r"child (\d+)")[1])
        try:
            assert [one.pid for one in family(parent.pid)] == [parent.pid, child]
        finally:
            psutil.Process(child).kill()


def test_one_that_has_ended_is_no_more_counted(tmp_path: Path) -> None:
    with Process([sys.executable, "-c", IDLE], tmp_path / "log") as process:
        process.wait_for_line("on")
        gone = family(process.pid)
    with Watch(lambda: {"gone": gone}, every_s=60) as watch:
        pass
    assert watch.uses()[0].processes == 0


def test_one_that_has_ended_and_was_not_waited_for_is_no_more_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        ended = psutil.Process(child.pid)
        with Watch(lambda: {"ended": [ended]}, every_s=60) as watch:
            pass
    assert watch.uses()[0].processes == 0


def test_memory_is_compared_while_all_are_there(tmp_path: Path) -> None:
    with Process([sys.executable, "-c", IDLE], tmp_path / "log") as process:
        process.wait_for_line("on")
        small, large = psutil.Process(process.pid), psutil.Process()
        members = [[small, large], [small]]
        with Watch(lambda: {"both": members.pop(0)}, every_s=60) as watch:
            pass
        least_mb = large.memory_info().rss / 2e6
    (use,) = watch.uses()
    assert use.processes == 2
    assert use.last_mb > least_mb
