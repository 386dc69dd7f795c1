"""Which regular expressions may run on every ping.

Python's `re` backtracks: on the wrong text a pattern such as `(a+)+$` takes longer than the universe. A
filter's pattern is written by an operator, but the text it runs on comes from a seller, so the pattern alone
must make it safe.

The rule: count the ways in which a matcher could walk the pattern through a text (an upper bound of its
backtracking), and refuse a pattern with more than `MOST_WAYS`. A repeat without an end counts one way per
character of the longest text; alternatives add; what follows one another multiplies; an endless repeat of
something that itself has several ways has no bound at all. A pattern that does not begin with `^` may also
begin anywhere, which is one more repeat. This refuses some harmless patterns; it lets no harmful one through,
because what it does not know (look-around, back-references, conditions) it refuses too.
"""

from __future__ import annotations

import re

MOST_LENGTH = 200
MOST_WAYS = 100_000
_DEEPEST = 20
_COUNTED = re.compile(r"\{(?!\})([0-9]*)(,?)([0-9]*)\}")  # `{}` alone is text to Python, `{,}` a repeat


class PatternError(ValueError):
    """The pattern is refused: the sentence says what to write instead."""


def safe_pattern(text: str, longest: int) -> re.Pattern[str]:
    """The compiled pattern, safe to `search` in texts of at most `longest` characters.

    Raises `PatternError` if it does not compile or could take too long.
    """
    if len(text) > MOST_LENGTH:
        raise PatternError(f"expected a pattern of at most {MOST_LENGTH} characters")
    try:
        compiled = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"is not a regular expression: {error}") from None
    walker = _Walker(text.removeprefix("(?i)"), longest)
    ways = walker.alternatives()
    anchored = walker.text.startswith("^") and not walker.splits_at_top
    if ways * (1 if anchored else longest) > MOST_WAYS:
        raise PatternError(
            "could take too long: begin it with ^, use fewer of * + ? {} |, or write starts_with or in"
        )
    return compiled


class _Walker:
    """Counts ways, one recursive descent over a pattern that is known to compile."""

    def __init__(self, text: str, longest: int) -> None:
        self.text = text
        self.splits_at_top = False
        self._at = 0
        self._depth = 0
        self._longest = longest

    def alternatives(self) -> int:
        ways = self._sequence()
        while self._next() == "|":
            self._at += 1
            self.splits_at_top = self.splits_at_top or self._depth == 0
            ways += self._sequence()
        return ways

    def _sequence(self) -> int:
        ways = 1
        while self._next() not in ("", "|", ")"):
            ways *= self._repeated(self._item())
            if ways > MOST_WAYS * self._longest:  # enough: keeps the numbers small
                ways = MOST_WAYS * self._longest
        return ways

    def _item(self) -> int:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "\\":
            if self._take() in "123456789":
                raise PatternError("cannot use back-references")
        elif char == "[":
            self._class()
        return 1

    def _group(self) -> int:
        if self._next() == "?":
            if self.text[self._at : self._at + 2] != "?:":
                raise PatternError("cannot use (?…) but for (?:…), and (?i) at the very beginning")
            self._at += 2
        self._depth += 1
        if self._depth > _DEEPEST:
            raise PatternError(f"nests more than {_DEEPEST} groups")
        ways = self.alternatives()
        self._depth -= 1
        self._at += 1  # the closing bracket
        return ways

    def _class(self) -> None:
        if self._next() == "^":
            self._at += 1
        self._at += 1  # the first member: also a "]"
        if self.text[self._at - 1] == "\\":
            self._at += 1
        while self._next() != "]":
            if self._take() == "\\":
                self._at += 1
        self._at += 1

    def _repeated(self, ways: int) -> int:
        """The ways of an item, times what the repeat behind it (if any) makes of them."""
        if counted := _COUNTED.match(self.text, self._at):
            self._at = counted.end()
            low, comma, high = counted.groups()
            fewest = int(low or 0)
            most = int(high) if high else None if comma else fewest
        elif self._next() in ("*", "+", "?"):
            most = 1 if self._take() == "?" else None
            fewest = 0
        else:
            return ways
        if self._next() in ("?", "+"):  # lazy, possessive
            self._at += 1
        if most is None:
            if ways > 1:
                raise PatternError("cannot repeat without end what itself repeats or branches, such as (a+)+")
            return self._longest
        of_one: int = ways ** min(most, 64)
        return (most - fewest + 1) * min(of_one, MOST_WAYS * self._longest)

    def _next(self) -> str:
        return self.text[self._at : self._at + 1]

    def _take(self) -> str:
        self._at += 1
        return self.text[self._at - 1]
