"""Patterns: what is let through is fast on the worst of texts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction.market.patterns import PatternError, safe_pattern

HARMLESS = [
    "^75[0-9]{3}$",
    "solar",
    "(?i)^(solar|roof)",
    "^(?:a|b|c)d$",
    r"^\d+ .*St$",
    "^[^]a]b]?$",
    r"^[\]x]+$",
    "^(ab)+$",
    "foo.*",
    r"^a\{2",
    "^x{2,5}y{3}$",
    "^a{}$",
    "^a*?b",
    "^a++b",
]
HARMFUL = [
    "(a+)+$",
    "^(a|a)*$",
    "^(a?){20}a{20}$",
    "^" + "a?" * 40 + "a" * 40 + "$",
    "^" + "(a|a)" * 30 + "b",
    ".*.*x",
    "^.*.*.*x",
    "(?:a{0,9}){0,9}b",
    "^(.*,){11}P",
    "^(?:(?:a{,})b)*$",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_pattern_is_compiled(text: str) -> None:
    assert safe_pattern(text, 256).pattern == text


@pytest.mark.parametrize("text", HARMFUL)
def test_a_harmful_pattern_is_refused(text: str) -> None:
    with pytest.raises(PatternError, match=r"could take too long|cannot repeat without end"):
        safe_pattern(text, 256)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("(", "is not a regular expression"),
        ("a{99999999999}", "is not a regular expression"),
        (r"^(a)\1$", "back-references"),
        ("^(?=a)a", r"cannot use \(\?"),
        ("^(?P<x>a)$", r"cannot use \(\?"),
        ("a" * 201, "at most 200 characters"),
        ("^" + "(" * 21 + ")" * 21, "more than 20 groups"),
    ],
)
def test_what_is_not_known_is_refused(text: str, says: str) -> None:
    with pytest.raises(PatternError, match=says):
        safe_pattern(text, 256)


def test_a_pattern_that_begins_anywhere_needs_the_start_in_every_alternative() -> None:
    assert safe_pattern("^.*x", 256)
    with pytest.raises(PatternError):
        safe_pattern("^a|.*.*x", 256)


PIECES = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "[ab]",
        "a*",
        "a+",
        ".*",
        "a?",
        "a{2,9}",
        "(a|b)",
        "(?:a|ab)",
        "(a+)",
        "|",
        "+",
        "*",
        "^",
        "$",
    ]
)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(PIECES, max_size=14), tail=st.sampled_from(["", "c", "!", "ab"]))
def test_whatever_is_let_through_is_fast(pieces: list[str], tail: str) -> None:
    try:
        pattern = safe_pattern("".join(pieces), 256)
    except PatternError:
        return
    for text in ("a" * 256, "a" * 255 + "c", "ab" * 128, tail + "a" * 250):
        start = time.process_time()
        pattern.search(text)
        assert time.process_time() - start < 0.5
