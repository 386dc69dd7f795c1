"""What the figures are held against. Each goal is a bound on one figure, by the figure's key."""

from __future__ import annotations

import msgspec


class Goal(msgspec.Struct, frozen=True):
    """`limit` is met by what is at most that much, or at least where `least`; `stretch` is one more step."""

    limit: float
    stretch: float | None = None
    least: bool = False

    def met(self, value: float) -> bool:
        """Whether the figure reaches it."""
        return value >= self.limit if self.least else value <= self.limit

    def text(self) -> str:
        """For the table."""
        sign = "≥" if self.least else "≤"
        stretch = f" ({self.stretch:g})" if self.stretch is not None else ""
        return f"{sign} {self.limit:g}{stretch}"


GOALS = {
    "main.of_go": Goal(0.60, stretch=0.50),
    "main.of_aiohttp": Goal(0.15),
    "main.of_floor": Goal(4.0, stretch=3.3),
    "https.of_go": Goal(0.70),
    "buyers.of_floor": Goal(2.2),
    "own.p50": Goal(1.0),
    "deadline.idle_p99": Goal(205),
    "deadline.loaded_p99": Goal(210),
    "overload.1.2_goodput": Goal(80, least=True),
    "overload.2_goodput": Goal(80, least=True),
    "eligibility.10000": Goal(100),
    "eligibility.1000": Goal(20),
    "fairness.pings_in_time": Goal(98, least=True),
    "fairness.wrong_keys_in_time": Goal(98, least=True),
    "fairness.leads_in_time": Goal(98, least=True),
    "sales.of_commits": Goal(8, least=True),
    "metrics.share": Goal(3),
    "memory.10000_orders": Goal(150),
    "suppression.growth": Goal(5),
    "soak.growth": Goal(1.05),
}
