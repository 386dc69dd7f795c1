"""What is wrong with a catalogue: every mistake at once, each with its place and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

import msgspec

from auction.errors import OperatorError

Path = tuple[str | int, ...]
"""Where in a catalogue: `("orders", 3, "price", "max")`, in the names of the file."""

BAD_CATALOGUE = "bad_catalogue"
_MOST_COMPARISONS = 200_000
_MOST_KNOWN = 10


class Mistake(msgspec.Struct, frozen=True):
    """One mistake of a catalogue file: `line` counts from 1, `path` is as `show_path` writes it."""

    source: str
    line: int
    path: str
    error: str

    def __str__(self) -> str:
        parts = [f"{self.source}:{self.line}", self.path, self.error]
        shown = ": ".join(part for part in parts if part)
        # what an operator wrote may hold anything: one mistake stays one line, and commands no terminal
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in shown)


class CatalogueMistakes(OperatorError):  # noqa: N818  (it holds many)
    """A catalogue that cannot be used. `mistakes` holds every one, by file and line; the text, one a line."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__(BAD_CATALOGUE, "\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)


def show_path(path: Path) -> str:
    """`orders[3].price.max`."""
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return shown.removeprefix(".")


class Problem(msgspec.Struct, frozen=True):
    """A rule between entries that a catalogue breaks, by its `path` in the catalogue; it may have no file.

    `first` is where the other one stands, of two that may not both be there.
    """

    path: Path
    error: str
    first: Path | None = None


class Names:
    """Names that are known, and which of them a wrong one was meant to be.

    Comparing names is slow, so each `Names` makes at most `_MOST_COMPARISONS`; past them it suggests nothing,
    and `unhelped` counts how often.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)
        self._hints: dict[str, str] = {}
        self._comparisons_left = _MOST_COMPARISONS
        self.unhelped = 0

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def hint(self, wrong: str) -> str:
        """`; did you mean `caps`?` where a known name is near, else nothing. Ready to follow a sentence."""
        found = self._hints.get(wrong)
        if found is not None:
            return found
        if self._comparisons_left < len(self._names) or len(wrong) > 64:
            self.unhelped += 1
            return ""
        self._comparisons_left -= len(self._names)
        near = difflib.get_close_matches(wrong.lower(), self._names, n=1) or [
            name for name in self._names if name.lower() == wrong.lower()
        ]
        hint = f"; did you mean `{near[0]}`?" if near else ""
        self._hints[wrong] = hint
        return hint


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """That there is no `what` (a `seller`) of this name, and which was meant, or some that there are."""
    names = sorted(known)
    hint = Names(names).hint(name)
    if not hint:
        more = len(names) - _MOST_KNOWN
        listed = ", ".join(names[:_MOST_KNOWN]) + (f" and {more:,} more" if more > 0 else "")
        hint = f"; known: {listed or 'none'}"
    return f"there is no {what} `{repr(name)[1:-1]}`{hint}"
