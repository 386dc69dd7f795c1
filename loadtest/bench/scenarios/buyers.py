"""What one more buyer costs: the slope of CPU per ping over the number of buyers."""

from __future__ import annotations

from statistics import linear_regression

from loadtest.bench.contenders import FLOOR, GO, OURS
from loadtest.bench.figures import Figure
from loadtest.bench.stage import Case, Stage

COUNTS = (1, 5, 10, 20, 50)


def run(stage: Stage) -> list[Figure]:
    """CPU per further buyer, ours and the floor's; and the CPU of a ping at each number of buyers."""
    costs: dict[str, list[float]] = {}
    for count in COUNTS:
        case = Case(f"{count} HTTP buyers, short", f"plain-{count}", count)
        for name, rounds in stage.alternate([OURS, GO, FLOOR], case, stage.pace.round_s / 2).items():
            costs.setdefault(name, []).append(rounds.cpu_us)
    slopes = {name: linear_regression(COUNTS, each).slope for name, each in costs.items()}
    figures = [Figure("buyers.cpu_us", "CPU per further buyer", slopes[OURS], "µs", _curve(costs[OURS]))]
    for name, slope in slopes.items():
        if name != OURS:
            shown = {FLOOR: "the kernel floor", GO: "bare Go net/http"}[name]
            note = f"{slope:.1f} µs; {_curve(costs[name])}"
            figures.append(Figure(f"buyers.of_{name}", f"  of {shown}", slopes[OURS] / slope, "x", note))
    return figures


def _curve(costs: list[float]) -> str:
    return ", ".join(f"{count}: {cost:.0f}" for count, cost in zip(COUNTS, costs, strict=True)) + " µs"
