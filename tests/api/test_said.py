"""What a request says: every mistake in it is told at once."""

from __future__ import annotations

import pytest

from auction.api.said import MOST_TEXT, Said
from auction.errors import SellerError


def test_a_text_is_one_line_of_so_many_characters() -> None:
    said = Said({"a": "x" * MOST_TEXT, "b": None, "c": "x y"})
    assert [said.text(name) for name in "abcd"] == ["x" * MOST_TEXT, None, "x y", None]
    said.done()


@pytest.mark.parametrize("value", ["", "x" * (MOST_TEXT + 1), "a\nb", "\x00", 5, True, [], {}])
def test_what_is_no_text_is_told(value: object) -> None:
    said = Said({"a": value})
    assert said.text("a") is None
    assert said.text("b", required=True) is None
    with pytest.raises(SellerError) as error:
        said.done()
    assert (error.value.status, error.value.code) == (422, "bad_fields")
    assert [(one.field, one.error) for one in error.value.mistakes] == [
        ("a", f"expected text of 1 to {MOST_TEXT} characters, no control characters"),
        ("b", "is required"),
    ]
