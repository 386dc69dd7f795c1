"""What a measurement needs to know of the machine: its cores, and the CPU time and memory of a process.

Linux alone: a process's CPU time is read from its own clock, in nanoseconds, where `/proc` counts in hundredths of
a second, and processes are bound to cores.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

_SCHED_CLOCK = 2
"""CPUCLOCK_SCHED of the kernel's posix-timers: user and system time of a whole process, in nanoseconds."""


class Cores(msgspec.Struct, frozen=True):
    """Who runs where: the measured server alone on one core, everything else on the others, where there are two."""

    server: frozenset[int]
    others: frozenset[int]

    @property
    def apart(self) -> bool:
        """Whether the server has its core for itself."""
        return self.server != self.others


def cores() -> Cores:
    """The cores that we may use, shared out."""
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        return Cores(frozenset(ours), frozenset(ours))
    return Cores(frozenset(ours[-1:]), frozenset(ours[:-1]))


@contextmanager
def bound_to(wanted: frozenset[int]) -> Iterator[None]:
    """What is started in this block runs on these cores; so do we, until its end."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move(pid: int, wanted: frozenset[int]) -> None:
    """All threads of a process to these cores."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), wanted)


def cpu_s(pid: int) -> float:
    """User and system time of all threads of a process since its start. Raises `OSError` if it has ended."""
    return time.clock_gettime((~pid << 3) | _SCHED_CLOCK)


def memory_mb(pid: int) -> float:
    """The resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def child_named(pid: int, name: str) -> int | None:
    """The child of `pid` whose program's name has `name` in it."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text(encoding="ascii").split():
            if name in Path(f"/proc/{child}/comm").read_text(encoding="utf-8"):
                return int(child)
    return None


class Machine(msgspec.Struct, frozen=True):
    """What a report says of where it was made."""

    processor: str
    cores: int
    system: str
    python: str
    load_before: float


def this_machine() -> Machine:
    """Here and now."""
    return Machine(
        _processor(),
        len(os.sched_getaffinity(0)),
        f"{platform.system()} {platform.release()}",
        platform.python_version(),
        round(os.getloadavg()[0], 2),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
