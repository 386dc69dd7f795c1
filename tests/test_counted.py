"""Counts in words."""

from __future__ import annotations

import pytest

from auction.counted import counted


@pytest.mark.parametrize(
    ("many", "words", "said"),
    [
        (0, ("lead",), "0 leads"),
        (1, ("lead",), "1 lead"),
        (2, ("lead",), "2 leads"),
        (12_000, ("entry", "entries"), "12,000 entries"),
        (1, ("entry", "entries"), "1 entry"),
        (1, ("lead waits", "leads wait"), "1 lead waits"),
    ],
)
def test_a_count_agrees_with_its_noun(many: int, words: tuple[str, ...], said: str) -> None:
    assert counted(many, *words) == said
