"""What this process is on its machine, and whether another one lives."""

from __future__ import annotations

import os
from pathlib import Path


def host_name() -> str:
    """Where process ids mean the same: the machine since its last start, and what has ids of its own on it.

    Two containers may have one name and each a process 1, so on Linux the boot and the space of process ids count.
    """
    parts = [os.uname().nodename]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    except OSError:
        pass  # not Linux: the name has to do
    return "/".join(parts)


def is_alive(pid: int) -> bool:
    """Whether a process of this id is there, whoever's it is. One that has ended and is not waited for is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    return state.rpartition(")")[2].split()[0] not in ("Z", "X")
