"""The killer strikes by its seed, and never anybody but its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import psutil  # type: ignore[import-untyped]
import pytest

from tests.api.wired import until
from tests.faults.killer import NotOurs, Odds, Own, picked, schedule

ODDS: Odds = {"worker": {"kill": 5, "freeze": 2}, "valkey": {"kill": 1}}
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
child.wait()
"""


@contextmanager
def sleeping(code: str = "import time; time.sleep(60)") -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_seed_gives_the_same_blows_and_another_gives_others() -> None:
    blows = schedule(7, 60, 100, ODDS)
    assert blows == schedule(7, 60, 100, ODDS)
    assert blows != schedule(8, 60, 100, ODDS)


def test_blows_come_all_the_time_and_each_kind_in_its_share() -> None:
    blows = schedule(3, 50, 100, ODDS, (1, 2))
    assert len(blows) == 100
    assert all(at / 2 <= blow.at_s <= (at + 1) / 2 for at, blow in enumerate(blows))
    assert all(1 <= blow.for_s <= 2 for blow in blows)
    struck = Counter((blow.victim, blow.act) for blow in blows)
    assert struck["worker", "kill"] > struck["worker", "freeze"] > struck["valkey", "kill"] >= 1


def test_no_kind_is_left_out_where_blows_are_few() -> None:
    blows = schedule(1, 10, 3, ODDS)
    assert {(blow.victim, blow.act) for blow in blows} == {
        ("worker", "kill"),
        ("worker", "freeze"),
        ("valkey", "kill"),
    }


def test_what_was_not_started_here_is_not_touched() -> None:
    """Our own parent, ourselves, and a process that somebody else's child is by now."""
    own = Own()
    for pid in (os.getppid(), os.getpid()):
        with pytest.raises(NotOurs):
            own.get(pid)
        with pytest.raises(NotOurs):
            own.signal(psutil.Process(pid), signal.SIGCONT)


def test_a_process_that_is_gone_is_no_victim() -> None:
    own = Own()
    with sleeping() as child:
        one = own.get(child.pid)
    assert own.signal(one, signal.SIGKILL) is False
    with pytest.raises(NotOurs):
        own.get(child.pid)


def test_a_child_of_a_child_is_ours_also_when_its_parent_died() -> None:
    own = Own()
    with sleeping(PARENT) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        one = own.get(grandchild)
        assert own.below(parent.pid) == [psutil.Process(parent.pid), one]
        parent.kill()
        parent.wait()
        assert own.signal(own.get(grandchild), signal.SIGKILL)
        one.wait(20)


async def test_frozen_for_so_long_and_then_it_goes_on() -> None:
    own = Own()
    with sleeping() as child:
        one = own.get(child.pid)
        began_s = time.monotonic()
        assert await own.freeze([one], 0.2)
        assert time.monotonic() - began_s >= 0.2
        # the kernel's word that it had stood still
        went_on = await asyncio.to_thread(os.waitid, os.P_PID, child.pid, os.WCONTINUED)
        assert went_on is not None
        assert went_on.si_code == os.CLD_CONTINUED
        assert one.status() != psutil.STATUS_STOPPED


async def test_nothing_stays_frozen_when_the_run_is_cut_short() -> None:
    own = Own()
    with sleeping() as child, sleeping() as other:
        one = own.get(child.pid)
        freezing = asyncio.create_task(own.freeze([one], 60))
        await until(lambda: bool(one.status() == psutil.STATUS_STOPPED))
        freezing.cancel()
        await asyncio.gather(freezing, return_exceptions=True)
        assert one.status() != psutil.STATUS_STOPPED
        async with own.frozen([one]):
            assert one.status() == psutil.STATUS_STOPPED
        assert one.status() != psutil.STATUS_STOPPED
        with own.thawing():
            own.signal(own.get(other.pid), signal.SIGSTOP)
        assert own.get(other.pid).status() != psutil.STATUS_STOPPED


def test_everything_below_us_can_be_ended_at_once() -> None:
    """In a process of its own: this one has children that are other tests'."""
    code = (
        "import subprocess, sys; from tests.faults.killer import Own\n"
        "children = [subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']) for _ in range(2)]\n"
        "print(Own().kill_all(), [child.wait(20) for child in children])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "2 [-9, -9]\n"


def test_a_pick_chooses_by_the_ids_in_order() -> None:
    with sleeping() as first, sleeping() as second:
        low, high = sorted((psutil.Process(first.pid), psutil.Process(second.pid)), key=lambda one: one.pid)
        assert picked([high, low], 0.0) == picked([low, high], 0.49) == low
        assert picked([high, low], 0.5) == picked([low, high], 1.0) == high
        assert picked([], 0.5) is None
