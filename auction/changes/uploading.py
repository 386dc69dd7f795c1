"""Uploads of suppression lists, as a worker sees them: pieces of a body into a process of their own, and its answer.

The worker holds one piece at a time. What was cut off changes nothing: the process is ended before it could believe
that it has all (see `auction.changes.suppressing`).
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from auction.counted import counted
from auction.errors import HouseError, SellerError
from auction.suppression.loading import Way
from auction.suppression.prints import Form
from auction.tally import counts

MOST_AT_ONCE: Final = 2
MOST_BYTES: Final = 512 * 1024 * 1024
MOST_LINES: Final = 10_000_000
WITHIN_S: Final = 1_800.0
"""How long one upload may take, from its head to its answer."""
_LENGTH: Final = 4


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a list. `nothing_too`: it may also be loaded with nothing."""

    list_id: str
    way: Way
    hashed: Form | None = None
    nothing_too: bool = False
    who: str
    at_ms: int


class Loaded(msgspec.Struct, frozen=True):
    """What became of the lines, and of the list."""

    lines: int
    passed_over: int
    passed_over_lines: tuple[int, ...] = ()
    entries: int = 0
    form: str = ""

    def told(self) -> str:
        """For people."""
        told = f"{counted(self.lines, 'line')} read"
        if self.passed_over:
            more = ", …" if self.passed_over > len(self.passed_over_lines) else ""
            named = ", ".join(map(str, self.passed_over_lines))
            told += f", {self.passed_over:,} passed over (line {named}{more})"
        return told


class Upload(msgspec.Struct, frozen=True):
    """What the process is told first. `key` is that of the house's prints."""

    ledger_url: str
    key: bytes
    load: Load
    csv: bool
    column: str | None


class UploadFault(msgspec.Struct, frozen=True):
    """Why nothing was changed."""

    code: str
    detail: str


class UploadAnswer(msgspec.Struct, frozen=True):
    """What the process says at its end: one of both."""

    loaded: Loaded | None = None
    fault: UploadFault | None = None


class Uploading:
    """Takes uploads, a few at a time. Counts what became of them: `outcomes` by `loaded`, or a reason code."""

    def __init__(self, ledger_url: str, key: bytes) -> None:
        self.outcomes = counts()  # (loaded, or why not,)
        self._ledger_url = ledger_url
        self._key = key
        self._running: set[Process] = set()
        self._begun = 0

    @property
    def running(self) -> int:
        """Uploads that are being taken."""
        return self._begun

    async def take(
        self, load: Load, pieces: AsyncIterator[bytes], *, csv: bool = False, column: str | None = None
    ) -> UploadAnswer:
        """Loads what comes. Raises what `pieces` raises, `SellerError` 408, and `HouseError` where too many run."""
        if self._begun >= MOST_AT_ONCE:
            self.outcomes[("house_full",)] += 1
            raise HouseError("house_full", "Other lists are being loaded; try again later.", retry_after_s=10)
        self._begun += 1
        try:
            async with asyncio.timeout(WITHIN_S):
                answer = await self._take(Upload(self._ledger_url, self._key, load, csv, column), pieces)
        except TimeoutError:
            self.outcomes[("too_slow",)] += 1
            raise SellerError(408, "too_slow", "The upload took too long.") from None
        except BaseException:
            self.outcomes[("cut_off",)] += 1
            raise
        finally:
            self._begun -= 1
        self.outcomes[("loaded" if answer.fault is None else answer.fault.code,)] += 1
        return answer

    async def close(self) -> None:
        """Ends what still runs: it changes nothing."""
        for process in tuple(self._running):
            _end(process)

    async def _take(self, upload: Upload, pieces: AsyncIterator[bytes]) -> UploadAnswer:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "auction.changes.suppressing", stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        self._running.add(process)
        try:
            answering = asyncio.create_task(_answer_of(process))
            try:
                await _feed(process, upload, pieces)
                return await answering
            finally:
                answering.cancel()
        finally:
            _end(process)
            await process.wait()
            self._running.discard(process)


async def _feed(process: Process, upload: Upload, pieces: AsyncIterator[bytes]) -> None:
    """Hands everything over. Ends early where the process has heard enough: its answer says why."""
    assert process.stdin is not None
    try:
        await _frame(process.stdin, msgspec.json.encode(upload))
        async for piece in pieces:
            await _frame(process.stdin, piece)
        await _frame(process.stdin, b"")
    except (BrokenPipeError, ConnectionResetError):
        return


async def _frame(stdin: asyncio.StreamWriter, data: bytes) -> None:
    stdin.write(len(data).to_bytes(_LENGTH, "big") + data)
    await stdin.drain()


async def _answer_of(process: Process) -> UploadAnswer:
    assert process.stdout is not None
    said = await process.stdout.readline()
    try:
        return msgspec.json.decode(said, type=UploadAnswer)
    except msgspec.DecodeError:
        raise HouseError("upload_ended", "The process that loads the list ended; try again.") from None


def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.returncode is None:
            process.kill()
