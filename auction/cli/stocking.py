"""The catalogue that `serve` starts with, read and stored by a process that ends.

Reading a file of 10,000 orders and comparing it with what is stored takes some 70 MB for a moment, and a process that
has used memory keeps most of it. A worker lives for months: so it is a child that does that, and goes.

Why a fork and not a new Python: it is made first of all, while this process has one thread and nothing open, and it
costs a start nothing.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeAlias

import msgspec

from auction import log
from auction.catalogue.changes import diff
from auction.changes.applying import apply_catalogue, read_files, stored_catalogue
from auction.cli.options import open_ledger
from auction.clock import SystemClock
from auction.errors import ExchangeError, OperatorError
from auction.market.model import Catalogue
from auction.settings import Settings

DEMO_MARKET = Path(__file__).parents[2] / "config" / "demo.yaml"


class Stocked(msgspec.Struct, frozen=True):
    """What the house trades on: whether that is the demo market, and the version and changes if it was stored now."""

    on_demo: bool
    version: int | None = None
    changes: str = ""


class _Fault(msgspec.Struct, frozen=True):
    """An expected fault, on its way to the process that tells it."""

    code: str
    detail: str


_Said: TypeAlias = Stocked | _Fault | OSError | None


class Stocking:
    """The child at the other end of `line`."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def read(self, files: Sequence[Path]) -> None:
        """The files are read and checked; nothing is stored yet. Raises `OperatorError`, with every mistake."""
        self._line.send(tuple(files))
        self._heard()

    def store(self, settings: Settings) -> Stocked:
        """What was read is stored, or the demo market where there is nothing at all. Raises `OperatorError`."""
        self._line.send(settings)
        stocked = self._heard()
        assert isinstance(stocked, Stocked)
        return stocked

    def _heard(self) -> _Said:
        try:
            said: _Said = self._line.recv()
        except (EOFError, ConnectionError):
            raise OperatorError(
                "catalogue_not_applied", "the process that applies the catalogue died; was memory short?"
            ) from None
        if isinstance(said, _Fault):
            raise OperatorError(said.code, said.detail)
        if isinstance(said, OSError):
            raise said
        return said


@contextmanager
def stocking() -> Iterator[Stocking]:
    """A child for the block; it ends with it, and if this process dies."""
    forking = multiprocessing.get_context("fork")
    ours, theirs = forking.Pipe()
    child = forking.Process(target=_work, args=(theirs, ours), daemon=True)
    child.start()
    theirs.close()
    try:
        yield Stocking(ours)
    finally:
        ours.close()
        child.terminate()
        child.join()


def _work(line: Connection, parents_end: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's to deal with
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parents_end.close()  # or the line would never end for us
    named: Catalogue | None = None
    with suppress(EOFError, ConnectionError):  # the parent is gone, or wants no more
        while True:
            asked: tuple[Path, ...] | Settings = line.recv()
            said: _Said = None
            try:
                if isinstance(asked, Settings):
                    said = _stored(asked, named)
                else:
                    named = read_files(asked)
            except ExchangeError as error:
                said = _Fault(error.code, error.detail)
            except OSError as error:
                said = error
            line.send(said)


def _stored(settings: Settings, named: Catalogue | None) -> Stocked:
    log.set_up(settings.log_level)
    demo = read_files([DEMO_MARKET]) if DEMO_MARKET.exists() else None
    with open_ledger(settings, make=True) as engine:
        with engine.connect() as conn:
            version, stored, _ = stored_catalogue(conn)
        wanted = named or (stored if version else demo)
        if wanted is None:
            raise OperatorError("no_catalogue", "no catalogue is stored: name its files by --config")
        on_demo = named is None and demo is not None and diff(wanted, demo).empty
        if wanted is stored:
            return Stocked(on_demo)
        now_ms = SystemClock(settings.clock_offset_ms).now_ms()
        applied = apply_catalogue(engine, wanted, now_ms, "serve")
    return Stocked(on_demo, applied.version, applied.changes.lines()[-1])
