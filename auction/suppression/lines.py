"""What is loaded into a list, as lines of text: one value a line, or a column of a CSV; held piece by piece."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from auction.errors import OperatorError

MOST_LINE_BYTES: Final = 8_192
"""The rest of a longer line is passed over; what is left of it is no value of any field."""
_NO_VALUE: Final = "\0"


def lines_of(raw: BinaryIO) -> Iterator[str]:
    """The lines of a stream in UTF-8."""
    first = True
    while line := raw.readline(MOST_LINE_BYTES):
        rest = line
        while len(rest) == MOST_LINE_BYTES and not rest.endswith(b"\n"):
            rest = raw.readline(MOST_LINE_BYTES)
        text = line.decode("utf-8", "replace")
        yield text.removeprefix("\ufeff") if first else text
        first = False


def column_of(lines: Iterable[str], column: str | None) -> Iterator[str]:
    """One column of a CSV (RFC 4180): by its name in the first row, or its number from 1; the first, if none is named.

    Raises `OperatorError` for what is no CSV, or has no such column.
    """
    rows = csv.reader(lines)
    at = 0
    try:
        if column is not None and column.isdecimal():
            at = max(int(column) - 1, 0)
        elif column is not None:
            names = [name.strip() for name in next(rows, [])]
            if column not in names:
                raise OperatorError("unknown_column", f"the first row names no column {column!r}")
            at = names.index(column)
            yield ""  # so that lines are told by their numbers
        for row in rows:
            yield row[at] if at < len(row) else _NO_VALUE if row else ""
    except csv.Error as error:
        raise OperatorError("bad_csv", f"not CSV at line {rows.line_num}: {error}") from None


def at_most(lines: Iterable[str], most: int) -> Iterator[str]:
    """The same lines. Raises `OperatorError` at the first that is too many."""
    for number, line in enumerate(lines):
        if number == most:
            raise OperatorError("too_many_entries", f"a list is loaded by at most {most:,} lines at once")
        yield line
