"""What a request says beside its lead, read in one pass that gathers every mistake, to be told at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auction.errors import FieldMistake, SellerError

MOST_TEXT = 128


class Said:
    """The names and values of a request. A null is a name left out."""

    __slots__ = ("data", "mistakes")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.mistakes: list[FieldMistake] = []

    def text(self, name: str, *, required: bool = False, most: int = MOST_TEXT) -> str | None:
        """A line of text; None where there is none, or none that may be."""
        value = self.data.get(name)
        if value is None:
            if required:
                self.wrong(name, "is required")
        elif not isinstance(value, str) or not 0 < len(value) <= most or not value.isprintable():
            self.wrong(name, f"expected text of 1 to {most} characters, no control characters")
        else:
            return value
        return None

    def wrong(self, field: str, error: str) -> None:
        """One mistake more."""
        self.mistakes.append(FieldMistake(field, error))

    def done(self) -> None:
        """Raises `SellerError` 422 if there was a mistake."""
        if self.mistakes:
            raise SellerError(422, "bad_fields", "Some fields are wrong.", mistakes=self.mistakes)
