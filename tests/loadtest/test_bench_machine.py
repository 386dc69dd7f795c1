"""CPU clocks, cores and memory of other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from loadtest.bench.machine import Cores, bound_to, child_named, cores, cpu_s, memory_mb, move, this_machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's")

BUSY = """
import time
while time.process_time() < 0.35: pass
print(1, flush=True); input()
"""
SLEEPING = "print(1, flush=True); input()"


def started(code: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def ended(child: subprocess.Popen[bytes]) -> None:
    child.communicate(b"\n")


def test_cpu_of_another_process_is_read() -> None:
    busy, sleeping = started(BUSY), started(SLEEPING)
    try:
        assert cpu_s(busy.pid) > 0.3
        before = cpu_s(sleeping.pid)
        time.sleep(0.05)
        assert cpu_s(sleeping.pid) - before < 0.02
    finally:
        ended(busy)
        ended(sleeping)
    with pytest.raises(OSError):  # noqa: PT011  (which one is the kernel's business)
        cpu_s(busy.pid)


def test_our_own_clock_is_the_same_one() -> None:
    assert cpu_s(os.getpid()) == pytest.approx(time.process_time(), abs=0.05)


def test_memory_is_read() -> None:
    child = started(f"kept = bytearray(b'x') * {50 << 20}; {SLEEPING}")
    try:
        assert 50 < memory_mb(child.pid) < 150
    finally:
        ended(child)


def test_what_starts_in_the_block_is_bound_and_we_are_not_afterwards() -> None:
    before = os.sched_getaffinity(0)
    one = frozenset([min(before)])
    with bound_to(one):
        child = started(SLEEPING)
    try:
        assert os.sched_getaffinity(0) == before
        assert os.sched_getaffinity(child.pid) == one
        move(child.pid, frozenset(before))
        assert os.sched_getaffinity(child.pid) == before
    finally:
        ended(child)


def test_cores_are_shared_out() -> None:
    shared = cores()
    assert shared.server | shared.others == os.sched_getaffinity(0)
    if len(os.sched_getaffinity(0)) > 1:
        assert shared.apart
        assert len(shared.server) == 1
        assert not shared.server & shared.others
    assert not Cores(frozenset([0]), frozenset([0])).apart


def test_a_child_is_found_by_its_name() -> None:
    child = started(SLEEPING)
    try:
        assert child_named(os.getpid(), "python") is not None
        assert child_named(child.pid, "python") is None
    finally:
        ended(child)


def test_the_machine_is_described() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.processor
