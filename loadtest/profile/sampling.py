"""Samples of a running server by py-spy: which line of which thread was running, some hundred times a second.

py-spy stops the process for a moment at every look, so a server under samples is slower than one that is not. What is
taken from samples are therefore shares alone; what a request costs is read from CPU clocks, when nobody looks.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from loadtest.processes import Process, ProcessError
from loadtest.profile.stages import Frame, frame_of

RATE = 150
NATIVE_RATE = 20
"""With C frames each look takes some 10 ms."""
STARTS_WITHIN_S = 15.0
WRITES_WITHIN_S = 20.0
_THREAD = re.compile(r"^thread \(\w+\)(?:: (?P<name>.*))?$")
_IDLE = frozenset(
    {
        ("Condition.wait", "threading.py"),
        ("_worker", "concurrent/futures/thread.py"),
        ("wait", "threading.py"),
    }
)
"""Where a thread of the pool lies when it has nothing to do: seen as running only while py-spy lets it go."""
NOT_ALLOWED = (
    "py-spy may not look into another process on this machine: it said {said!r}. Run as root, or allow it "
    "(`sysctl kernel.yama.ptrace_scope=0`; in a container: the capability SYS_PTRACE)."
)


class SamplingError(Exception):
    """No samples can be taken here; says why, and what to do."""


class Stack(NamedTuple):
    """What one thread was doing; `frames` from the outermost to the innermost."""

    thread: str
    frames: tuple[Frame, ...]


Samples = Counter[Stack]


@contextmanager
def sampling(pid: int, output: Path, *, native: bool = False, svg: bool = False) -> Iterator[None]:
    """Samples of `pid` for the length of the block go to `output`: stacks as text, or a flame graph with `svg`.

    Raises `SamplingError`.
    """
    command = [_pyspy(), "record", "--pid", str(pid), "--output", str(output)]
    command += ["--rate", str(NATIVE_RATE if native else RATE), "--duration", "600"]
    command += ["--format", "flamegraph", "--function"] if svg else ["--format", "raw", "--threads"]
    command += ["--native"] if native else []
    output.unlink(missing_ok=True)
    log = output.with_suffix(".log")
    with Process(command, log, end_within_s=2.0) as spy:
        try:
            spy.wait_for_line(r"Sampling process", STARTS_WITHIN_S)
        except ProcessError:
            raise SamplingError(_why(spy.printed())) from None
        yield
        try:
            os.kill(spy.pid, signal.SIGINT)
            spy.wait(WRITES_WITHIN_S)
        except (ProcessError, ProcessLookupError):
            raise SamplingError(_why(spy.printed())) from None
    if not output.exists():
        raise SamplingError(_why(spy.printed()))


def read_samples(path: Path) -> Samples:
    """The stacks of a raw recording, without those of threads that only waited."""
    samples: Samples = Counter()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        text, _, count = line.rpartition(" ")
        head, *frames = text.split(";")
        thread = _THREAD.match(head)
        if thread is None or not count.isdigit():
            continue
        stack = tuple(map(frame_of, frames))
        if not stack or tuple(stack[-1]) in _IDLE:
            continue
        samples[Stack(thread["name"] or "", stack)] += int(count)
    return samples


def _pyspy() -> str:
    beside = Path(sys.executable).parent / "py-spy"
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise SamplingError("py-spy is not installed: it comes with the `dev` extra")
    return found


def _why(printed: str) -> str:
    said = [line.strip() for line in printed.splitlines() if line.strip()]
    wrong = next(
        (line for line in said if "rror" in line or "ermission" in line), said[-1] if said else "nothing"
    )
    if "ermi" in wrong or "EPERM" in wrong:
        return NOT_ALLOWED.format(said=wrong)
    return f"py-spy failed: it said {wrong!r}"
