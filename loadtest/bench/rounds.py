"""Short rounds in turns: a noisy machine disturbs all contenders alike, and a ratio is taken within a round."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec

from loadtest.bench.contenders import SERVER, VALKEY
from loadtest.bench.generator import GENERATOR
from loadtest.bench.taken import Taken

BUYERS = "buyers"


class Rounds(msgspec.Struct):
    """All rounds of one contender in one case. `asks_per_ping` is what the buyers counted."""

    name: str
    taken: list[Taken]
    asks_per_ping: list[float]

    @property
    def cpu_us(self) -> float:
        """CPU of the server per answer: the median of the rounds."""
        return median(taken.cpu_us(SERVER) for taken in self.taken)

    @property
    def valkey_us(self) -> float:
        """CPU of Valkey per answer; 0.0 where there is none."""
        return median(taken.cpu_us(VALKEY) if VALKEY in taken.cpu_s else 0.0 for taken in self.taken)

    @property
    def per_second(self) -> float:
        """Answers per second: the median of the rounds."""
        return median(taken.per_second for taken in self.taken)

    def latency_ms(self, percent: float) -> float:
        """A percentile: the median of the rounds'."""
        return median(taken.latency_us(percent) for taken in self.taken) / 1000

    def busy(self, name: str) -> float:
        """The share of one core that one process was busy: the median of the rounds."""
        return median(taken.busy(name) for taken in self.taken)

    @property
    def wrong(self) -> int:
        """Answers that were not right."""
        return sum(taken.wrong.total() for taken in self.taken)

    @property
    def first_wrong(self) -> str:
        """What the first of them said."""
        said = next((taken.first_wrong for taken in self.taken if taken.first_wrong), b"")
        return said[:300].decode(errors="replace")

    def plain(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            "name": self.name,
            "cpu_us": round(self.cpu_us, 1),
            "cpu_us_of_rounds": [round(taken.cpu_us(SERVER), 1) for taken in self.taken],
            "valkey_us": round(self.valkey_us, 1),
            "per_second": round(self.per_second, 1),
            "p50_ms": round(self.latency_ms(50), 3),
            "p99_ms": round(self.latency_ms(99), 3),
            "busy": {name: round(self.busy(name), 3) for name in (SERVER, BUYERS, GENERATOR)},
            "asks_per_ping": round(median(self.asks_per_ping), 3),
            "wrong": self.wrong,
        }


def ratio(ours: Rounds, theirs: Rounds) -> float:
    """Our CPU per answer over theirs: the median over the rounds, each against its own neighbour."""
    pairs: Sequence[tuple[Taken, Taken]] = list(zip(ours.taken, theirs.taken, strict=True))
    return median(one.cpu_us(SERVER) / other.cpu_us(SERVER) for one, other in pairs)
