"""Processes that a run starts and ends: exactly those, and each within a bound.

A child's output goes to a file and not to a pipe: a pipe that nobody reads stops the child, and the file is
what a failure shows. A child has a session of its own, so that a Ctrl-C reaches it through us, once, and
whatever it started itself can be ended with it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LOOK_EVERY_S = 0.02
SHOWN_LINES = 20


class ProcessError(Exception):
    """A process that did not start, ended too early, or did not come to what was waited for."""


class Process:
    """One child, from `with` to the end of the block."""

    def __init__(
        self,
        command: Sequence[str],
        output: Path,
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        end_within_s: float = 10.0,
    ) -> None:
        """`output` takes what the child prints; `environ` is added to ours."""
        self.output = output
        self._name = " ".join(command[:4])
        self._command = list(command)
        self._environ = {**os.environ, **(environ or {})}
        self._cwd = cwd
        self._end_within_s = end_within_s

    def __enter__(self) -> Self:
        return self.start()

    def start(self) -> Self:
        """Begin, where no block says how long: then `end` is to be called."""
        with self.output.open("wb") as output:
            try:
                self._child = subprocess.Popen(  # noqa: S603 (our own command)
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._environ,
                    cwd=self._cwd,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessError(f"{self._name} did not start: {error}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def printed(self) -> str:
        """All that it has printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_for_line(self, pattern: str, within_s: float = 60.0) -> re.Match[str]:
        """The first match of `pattern` in a whole line of its output. Raises `ProcessError`."""
        until_s = time.monotonic() + within_s
        while True:
            running = self._child.poll() is None  # before reading: what it printed last must be seen
            for line in self.printed().splitlines(keepends=True):
                if line.endswith("\n") and (found := re.search(pattern, line)):
                    return found
            self._look_again(running, until_s, f"a line like {pattern!r}")

    def wait_for_url(self, url: str, within_s: float = 60.0) -> None:
        """Until `url` answers 200. Raises `ProcessError`."""
        until_s = time.monotonic() + within_s
        while True:
            running = self._child.poll() is None
            if _answers(url):
                return
            self._look_again(running, until_s, url)

    def wait(self, within_s: float) -> int:
        """Its exit code, once it ends by itself. Raises `ProcessError`."""
        try:
            return self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            raise self._failed(f"did not end within {within_s:g} s") from None

    def end(self) -> int:
        """Tell it to end (SIGTERM); kill it, and what it started, when it does not. Gives its exit code."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(self._end_within_s)
            except subprocess.TimeoutExpired:
                # not waited for yet, so its id is still its own, and its session's
                os.killpg(self._child.pid, signal.SIGKILL)
        return self._child.wait()

    def _look_again(self, running: bool, until_s: float, awaited: str) -> None:
        if not running:
            raise self._failed(f"ended with {self._child.returncode} before {awaited}")
        if time.monotonic() > until_s:
            raise self._failed(f"did not come to {awaited} in time")
        time.sleep(LOOK_EVERY_S)

    def _failed(self, what: str) -> ProcessError:
        last = "".join(f"\n  {line}" for line in self.printed().splitlines()[-SHOWN_LINES:])
        return ProcessError(f"{self._name} {what}; it printed last:{last or ' nothing'}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 (our own http)
            return bool(answer.status == 200)
    except OSError:  # URLError and HTTPError are ones
        return False
