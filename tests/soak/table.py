"""The soak's verdict as text for people, and as JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tests.faults.checker import Verdict

SHOWN_CASES = 10


class Outcome(Struct, frozen=True):
    """All that is told of a run."""

    run: dict[str, Any]
    verdict: Verdict
    problems: list[str]
    struck: dict[str, int]
    link_faults: dict[str, int]
    requests: dict[str, int]
    stack: dict[str, int]

    @property
    def good(self) -> bool:
        """Every forbidden figure is 0, and no part did what it must not."""
        return self.verdict.good and not self.problems


def shown(outcome: Outcome) -> str:
    """The table, and under it what is to be looked at."""
    forbidden = {figure: len(cases) for figure, cases in outcome.verdict.forbidden.items()}
    forbidden["problems of processes"] = len(outcome.problems)
    lines = [
        _named("run", outcome.run),
        _named("processes struck", outcome.struck),
        _named("faults on links", outcome.link_faults),
        _named("requests", outcome.requests),
        _named("starts and stops", outcome.stack),
        "",
        *_rows("what was seen", outcome.verdict.counts),
        "",
        *_rows("what must be 0", forbidden),
    ]
    for figure, cases in {**outcome.verdict.forbidden, "problems of processes": outcome.problems}.items():
        if cases:
            lines += ["", f"{figure}:"]
            lines += [f"  {case}" for case in cases[:SHOWN_CASES]]
            if len(cases) > SHOWN_CASES:
                lines.append(f"  … and {len(cases) - SHOWN_CASES} more")
    lines += ["", "nothing lost, nothing sold twice, no cap passed" if outcome.good else "FAILED"]
    return "\n".join(lines)


def save(outcome: Outcome, path: Path) -> None:
    """The same as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(outcome), indent=1))


def _named(name: str, values: Mapping[str, object]) -> str:
    told = ", ".join(f"{key} {value}" for key, value in sorted(values.items(), key=lambda item: item[0]))
    return f"{name}: {told or 'none'}"


def _rows(title: str, values: Mapping[str, int]) -> list[str]:
    width = max(map(len, [title, *values])) + 2
    return [title, *(f"  {name:{width}}{value:>8}" for name, value in values.items())]
