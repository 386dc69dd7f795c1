"""What one run measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

NEVER = "no answer"


class Taken(msgspec.Struct, kw_only=True):
    """A run's window: what was answered in it, how fast, and what it cost whom."""

    sent: int
    """How many requests left in all, before and in the window."""
    latencies_us: list[float]
    seconds: float
    cpu_s: dict[str, float]
    """User and system time of each process that was watched, and of the generator, inside the window."""
    wrong: Counter[str]
    """Answers that were not what they should be, by status and code (`503 house_full`); `NEVER` for those that never
    came."""
    right_us: list[float] = []
    """The latencies of the right answers alone."""
    wrong_us: list[float] = []
    first_wrong: bytes = b""
    """The body of the first of them."""
    own_us: list[float]
    """The server's own time, as it says in `Server-Timing`."""
    bodies: list[bytes]
    late_us: list[float]
    """How late the generator itself was in sending what was due (fixed rate only)."""

    @property
    def answered(self) -> int:
        """How many answers came, right or wrong."""
        return len(self.latencies_us)

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return self.answered / self.seconds

    def cpu_us(self, name: str) -> float:
        """CPU of one process, in microseconds per answer."""
        return self.cpu_s[name] * 1e6 / max(1, self.answered)

    def busy(self, name: str) -> float:
        """The share of one core that a process kept busy."""
        return self.cpu_s[name] / self.seconds

    def latency_us(self, percent: float) -> float:
        """A percentile of the latencies."""
        return percentile(self.latencies_us, percent)

    @property
    def wrong_told(self) -> str:
        """`12 wrong: 9 503 counters_unavailable, 3 no answer`; nothing where all were right."""
        if not self.wrong:
            return ""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.wrong.most_common(3))
        return f"{self.wrong.total()} wrong: {kinds}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of `values` that at least `percent` of them are no larger than; 0.0 of none."""
    if not values:
        return 0.0
    rank = -int(-len(values) * percent // 100)  # rounded up
    return sorted(values)[max(0, rank - 1)]
