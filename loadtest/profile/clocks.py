"""The CPU time of each thread of a process, in seconds, and how much of the whole was in the kernel (Linux)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Clocks(NamedTuple):
    """At one moment: `threads` by id; `user_s` and `system_s` of the whole process, counted in ticks."""

    threads: dict[int, float]
    user_s: float
    system_s: float

    def since(self, before: Clocks) -> Clocks:
        """What passed in between."""
        threads = {thread: now_s - before.threads.get(thread, 0.0) for thread, now_s in self.threads.items()}
        return Clocks(threads, self.user_s - before.user_s, self.system_s - before.system_s)

    @property
    def kernel_share(self) -> float:
        """The part of it that the kernel took."""
        whole_s = self.user_s + self.system_s
        return self.system_s / whole_s if whole_s else 0.0


def read_clocks(pid: int) -> Clocks:
    """Now."""
    threads: dict[int, float] = {}
    user_s = system_s = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            ran_ns = int((task / "schedstat").read_text(encoding="ascii").split()[0])
            # after the name in parentheses, which may have spaces: utime is the 12th, stime the 13th
            told = (task / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        threads[int(task.name)] = ran_ns / 1e9
        user_s += int(told[11]) / _TICKS
        system_s += int(told[12]) / _TICKS
    return Clocks(threads, user_s, system_s)
