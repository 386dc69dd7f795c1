from __future__ import annotations

from io import BytesIO

import pytest

from auction.errors import OperatorError
from auction.suppression.lines import MOST_LINE_BYTES, at_most, column_of, lines_of


def test_lines_come_one_by_one_and_no_longer_than_they_may() -> None:
    long = b"x" * (2 * MOST_LINE_BYTES) + b"tail\n"
    lines = list(lines_of(BytesIO(b"\xef\xbb\xbfa\r\n" + long + b"\xff\nlast")))
    assert [line.strip() for line in lines] == ["a", "x" * MOST_LINE_BYTES, "\ufffd", "last"]


@pytest.mark.parametrize("size", [MOST_LINE_BYTES - 1, MOST_LINE_BYTES, MOST_LINE_BYTES + 1])
def test_a_line_that_just_fits_takes_nothing_of_the_next(size: int) -> None:
    lines = list(lines_of(BytesIO(b"x" * (size - 1) + b"\nnext\n")))
    assert (len(lines), lines[1]) == (2, "next\n")


def test_a_column_by_name_number_or_the_first() -> None:
    rows = ["a,b\n", "1,2\n", "3\n", "\n"]
    assert list(column_of(rows, None)) == ["a", "1", "3", ""]
    assert list(column_of(rows, "2")) == ["b", "2", "\0", ""]
    assert list(column_of(rows, "b")) == ["", "2", "\0", ""]
    with pytest.raises(OperatorError) as refused:
        list(column_of(rows, "c"))
    assert refused.value.code == "unknown_column"


def test_more_lines_than_are_taken_at_once_are_refused() -> None:
    assert list(at_most("ab", 2)) == ["a", "b"]
    with pytest.raises(OperatorError) as refused:
        list(at_most("abc", 2))
    assert refused.value.code == "too_many_entries"
