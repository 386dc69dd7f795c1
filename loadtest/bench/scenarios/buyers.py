"""What one more buyer costs: the slope of CPU per ping over the number of buyers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import linear_regression

from loadtest.bench.contenders import FLOOR, GO, OURS
from loadtest.bench.figures import Figure
from loadtest.bench.stage import Case, Stage


def run(stage: Stage) -> list[Figure]:
    """CPU per further buyer, ours and the floor's; and the CPU of a ping at each number of buyers."""
    counts = stage.pace.counts
    costs: dict[str, list[float]] = {}
    for count in counts:
        case = Case(f"{count} HTTP buyers, short", f"plain-{count}", count)
        for name, rounds in stage.alternate([OURS, GO, FLOOR], case, stage.pace.round_s / 2).items():
            costs.setdefault(name, []).append(rounds.cpu_us)
    slopes = {name: linear_regression(counts, each).slope for name, each in costs.items()}
    figures = [
        Figure("buyers.cpu_us", "CPU per further buyer", slopes[OURS], "µs", _curve(counts, costs[OURS]))
    ]
    for name, slope in slopes.items():
        if name != OURS:
            shown = {FLOOR: "the kernel floor", GO: "bare Go net/http"}[name]
            note = f"{slope:.1f} µs; {_curve(counts, costs[name])}"
            figures.append(Figure(f"buyers.of_{name}", f"  of {shown}", slopes[OURS] / slope, "x", note))
    return figures


def _curve(counts: Sequence[int], costs: Sequence[float]) -> str:
    return ", ".join(f"{count}: {cost:.0f}" for count, cost in zip(counts, costs, strict=True)) + " µs"
