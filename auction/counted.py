"""Counts in words, for people: `1 lead`, `2 leads`, `12,000 entries`."""

from __future__ import annotations


def counted(many: int, one: str, more: str | None = None) -> str:
    """`many`, and what there are so many of: `one` (`lead`, `lead waits`), else `more`; without it, `one` and an s."""
    return f"{many:,} {one}" if many == 1 else f"{many:,} {more or one + 's'}"
