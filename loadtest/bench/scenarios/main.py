"""A ping with ten HTTP buyers and everything on, against bare fan-outs to the same buyers."""

from __future__ import annotations

from loadtest.bench.contenders import AIOHTTP, FLOOR, GO, OURS
from loadtest.bench.figures import Figure
from loadtest.bench.rounds import Rounds, ratio
from loadtest.bench.stage import MAIN, Stage

_NAMES = {GO: "bare Go net/http", AIOHTTP: "bare aiohttp", FLOOR: "the kernel floor"}


def run(stage: Stage) -> list[Figure]:
    """CPU per ping, and its ratio to each reference."""
    return compared("main", "10 HTTP buyers", stage.alternate([OURS, GO, AIOHTTP, FLOOR], MAIN))


def compared(key: str, what: str, rounds: dict[str, Rounds]) -> list[Figure]:
    """Our CPU per ping, and how many times each other's it is."""
    ours = rounds[OURS]
    figures = [
        Figure(
            f"{key}.cpu_us", f"CPU per ping, {what}", ours.cpu_us, "µs", f"and Valkey {ours.valkey_us:.0f} µs"
        ),
        Figure(f"{key}.per_second", "  pings per second, one worker", ours.per_second, "/s"),
    ]
    for name, theirs in rounds.items():
        if name != OURS:
            note = f"{theirs.cpu_us:.0f} µs"
            figures.append(Figure(f"{key}.of_{name}", f"  of {_NAMES[name]}", ratio(ours, theirs), "x", note))
    return figures
