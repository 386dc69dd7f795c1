"""Loading a suppression list: for the command line, and in a process of its own for the admin API.

Why a process: to normalise and hash ten million numbers takes minutes of Python, and a thread of the worker would hold
up its auctions by its lock. `python -m auction.changes.suppressing` reads frames from its standard input (four bytes of
length, big-endian, and so many bytes): first an `Upload`, then the body, piece by piece, then an empty one. Without
that, the upload was cut off, and nothing is changed. It answers one line of JSON: an `UploadAnswer`.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable
from typing import Any, BinaryIO, Final

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from auction.catalogue.mistakes import unknown_name
from auction.catalogue.suppression_rules import type_of
from auction.changes.applying import stored_catalogue
from auction.changes.uploading import MOST_LINES, Load, Loaded, Upload, UploadAnswer, UploadFault
from auction.counted import counted
from auction.errors import ExchangeError, OperatorError
from auction.ledger import audit
from auction.ledger.engine import open_engine, transaction
from auction.market.fields import Reader, compile_field
from auction.market.model import FieldSpec, SuppressionList
from auction.suppression.lines import at_most, column_of, lines_of
from auction.suppression.loading import Way, gather, hash_reader, store, value_reader
from auction.suppression.prints import Prints

_ACTIONS: Final[dict[Way, audit.Action]] = {
    "replace": "replace_entries",
    "add": "add_entries",
    "remove": "remove_entries",
}
_LENGTH = 4


def load(
    engine: Engine, prints: Prints, wanted: Load, lines: Iterable[str], *, source: str = "the upload"
) -> Loaded:
    """Does what is `wanted` with these lines, and writes down who did. Raises `OperatorError`: nothing is changed."""
    with engine.connect() as conn:
        _, reader = list_in(conn, wanted.list_id)
    form = wanted.hashed or "sha256"
    read = hash_reader(prints, form) if wanted.hashed else value_reader(prints, reader, form)
    written = value_reader(prints, reader, form, as_written=True)
    gathered = gather(lines, read, written if wanted.way == "remove" and not wanted.hashed else None)
    if not wanted.nothing_too and (not gathered.lines or gathered.bad == gathered.lines):
        told = Loaded(gathered.lines, gathered.bad, tuple(gathered.bad_lines))
        raise OperatorError("nothing_to_load", f"{source}: {told.told()}; nothing was changed")
    state = store(engine, wanted.list_id, form, gathered, wanted.way, wanted.at_ms)
    loaded = Loaded(gathered.lines, gathered.bad, tuple(gathered.bad_lines), state.entries, state.form)
    with transaction(engine) as conn:
        entry = audit.NewEntry(
            who=wanted.who,
            action=_ACTIONS[wanted.way],
            kind="suppression_list",
            entry=wanted.list_id,
            changes=(f"{loaded.told()}; {counted(loaded.entries, 'entry', 'entries')} now",),
        )
        audit.record(conn, [entry], wanted.at_ms)
    return loaded


def list_in(conn: Connection, list_id: str) -> tuple[SuppressionList, Reader]:
    """A list of the catalogue, and the reader of its values. Raises `OperatorError`."""
    catalogue = stored_catalogue(conn)[1]
    for one in catalogue.suppression_lists:
        if one.id == list_id:
            return one, compile_field(FieldSpec(name="value", type=type_of(one, catalogue.campaigns)))
    known = (one.id for one in catalogue.suppression_lists)
    raise OperatorError("unknown_list", unknown_name("suppression list", list_id, known))


class CutOff(Exception):  # noqa: N818  (says what happened)
    """The upload ended before it was whole."""


class _Body(io.RawIOBase):
    """What comes in frames, as one stream."""

    def __init__(self, frames: BinaryIO) -> None:
        self._frames = frames
        self._left = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        """As much as is there. Raises `CutOff`."""
        view = memoryview(into)
        if not self._left and not self._ended:
            self._left = _length_in(self._frames)
            self._ended = self._left == 0
        if self._ended:
            return 0
        piece = self._frames.read(min(len(view), self._left))
        if not piece:
            raise CutOff
        view[: len(piece)] = piece
        self._left -= len(piece)
        return len(piece)


def _length_in(frames: BinaryIO) -> int:
    head = frames.read(_LENGTH)
    if len(head) < _LENGTH:
        raise CutOff
    return int.from_bytes(head, "big")


def _answer(frames: BinaryIO) -> UploadAnswer:
    upload = msgspec.json.decode(frames.read(_length_in(frames)), type=Upload)
    lines: Iterable[str] = at_most(lines_of(io.BufferedReader(_Body(frames))), MOST_LINES)
    if upload.csv:
        lines = column_of(lines, upload.column)
    engine = open_engine(upload.ledger_url)
    try:
        return UploadAnswer(loaded=load(engine, Prints(upload.key), upload.load, lines))
    except ExchangeError as error:
        return UploadAnswer(fault=UploadFault(error.code, error.detail))
    except SQLAlchemyError:
        return UploadAnswer(fault=UploadFault("ledger_unavailable", "the ledger does not answer"))
    finally:
        engine.dispose()


def main() -> None:
    """One upload. Says nothing of what is in it, whatever happens."""
    try:
        answer = _answer(sys.stdin.buffer)
    except CutOff:
        os._exit(1)
    except Exception as error:  # its text may hold a line of the list
        answer = UploadAnswer(fault=UploadFault("internal_error", type(error).__name__))
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
