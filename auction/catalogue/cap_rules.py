"""Which caps can be kept together: what is wrong with the caps of one owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from auction.catalogue.mistakes import Path, Problem
from auction.market.model import Cap, Per
from auction.market.money import to_text

_SMALL_TO_LARGE: tuple[Per, ...] = get_args(Per)
_KINDS = ("leads", "spend", "pings")
_PINGS_ONLY: tuple[Per, ...] = ("second", "minute")


def cap_problems(caps: Sequence[Cap], path: Path) -> Iterator[Problem]:
    """What is wrong with the caps at `path`: none or two limits in one, the same twice, one out of reach,
    a window that is too short for leads and spend."""
    firsts: dict[tuple[str, Per], int] = {}
    for at, cap in enumerate(caps):
        kinds = [kind for kind in _KINDS if limit_of(cap, kind) is not None]
        if not kinds:
            error = (
                "expected what is limited beside `per`: leads, spend or pings, such as {leads: 50, per: day}"
            )
            yield Problem((*path, at), error)
        elif len(kinds) > 1:
            error = f"expected one limit, has {' and '.join(kinds)}; write one cap for each"
            yield Problem((*path, at, kinds[1]), error)
        elif (kinds[0], cap.per) in firsts:
            first = (*path, firsts[kinds[0], cap.per])
            yield Problem((*path, at), f"{_title(cap.per)} cap of {kinds[0]} stands twice", first)
        else:
            firsts[kinds[0], cap.per] = at
            if cap.per in _PINGS_ONLY and kinds[0] != "pings":
                error = f"only pings are limited by the {cap.per}; a cap of {kinds[0]} needs an hour at least"
                yield Problem((*path, at, "per"), f"{error}, such as `per: hour`")
            if limit_of(cap, kinds[0]) == 0:
                yield Problem((*path, at, kinds[0]), "a cap of 0 lets nothing be sold; write `paused: true`")
    yield from _unreachable(caps, path, firsts)


def _unreachable(caps: Sequence[Cap], path: Path, firsts: dict[tuple[str, Per], int]) -> Iterator[Problem]:
    for (kind, per), at in firsts.items():
        limit = limit_of(caps[at], kind) or 0
        for larger in _SMALL_TO_LARGE[_SMALL_TO_LARGE.index(per) + 1 :]:
            above = firsts.get((kind, larger))
            lower = None if above is None else limit_of(caps[above], kind)
            if lower is not None and lower < limit:
                reason = f"{_title(larger)} cap of {_shown(kind, lower)} makes {_title(per)} cap of"
                error = f"{reason} {_shown(kind, limit)} unreachable; lower it or take it out"
                yield Problem((*path, at, kind), error)
                break


def limit_of(cap: Cap, kind: str) -> int | None:
    """The cap's limit on `kind` (`leads`, `spend` in micros, `pings`), None if it has none."""
    limit: int | None = getattr(cap, "spend_micros" if kind == "spend" else kind)
    return limit


def _title(per: Per) -> str:
    return "the total" if per == "total" else f"the {per}'s"


def _shown(kind: str, limit: int) -> str:
    return to_text(limit) if kind == "spend" else str(limit)
