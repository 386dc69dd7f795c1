"""What a run counted, by request: from Locust's own counts, with times as fine as they were kept. PURE.

Not Locust's CSV: it cuts every time to whole milliseconds, and our own time of a ping is below one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from loadtest.shapes import Phase, Shape

PING, POST = "POST /ping", "POST /post"
PING_NONSENSE, PING_REPEAT = "POST /ping (nonsense)", "POST /ping (repeat)"
POST_LATE, POST_REPEAT = "POST /post (late)", "POST /post (repeat)"
OWN = "own time of /ping"
"""No request: what the exchange says in `Server-Timing` that it took itself, buyers' time left out."""
ALL = "all"
PHASED = (PING, OWN, POST)
"""Counted apart in each phase of a shape."""
REQUESTS = (PING, PING_NONSENSE, PING_REPEAT, OWN, POST, POST_LATE, POST_REPEAT)


class Counted(msgspec.Struct, frozen=True):
    """What Locust counted of one name. `response_times` are milliseconds and how often; the keys of
    `num_reqs_per_sec` are seconds of the clock."""

    name: str
    num_requests: int
    num_failures: int
    response_times: dict[float, int]
    num_reqs_per_sec: dict[int, int]


class Fault(msgspec.Struct, frozen=True):
    """One way in which answers of one name failed, and how often."""

    name: str
    why: str
    times: int


class Results(msgspec.Struct, frozen=True):
    """What the locustfile writes at the end. `broken` are mistakes of the load test itself."""

    counted: list[Counted]
    faults: list[Fault]
    broken: list[str]


class Row(msgspec.Struct, frozen=True):
    """One line of the table: times in milliseconds, `per_second` over the phases that it belongs to."""

    name: str
    requests: int
    failures: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float

    @property
    def failed(self) -> float:
        """The share of failures."""
        return self.failures / self.requests if self.requests else 0.0


def named(name: str, phase: Phase | None) -> str:
    """The name that a request is counted under in this phase."""
    return f"{name} ({phase.name})" if phase and phase.name and name in PHASED else name


def names_of(shape: Shape) -> list[str]:
    """Every name that a run of this shape may count, as the table lists them."""
    requests = [
        named(name, phase)
        for name in REQUESTS
        for phase in (shape.phases if name in PHASED else shape.phases[:1])
    ]
    return [*requests, ALL]


def rows_of(counted: Iterable[Counted], shape: Shape) -> list[Row]:
    """A row per name that was counted, in the table's order; all requests together last."""
    by_name = {one.name: one for one in counted}
    seconds = {named(name, phase): phase.seconds for name in PHASED for phase in shape.phases}
    names = [name for name in names_of(shape) if name in by_name]
    rows = [_row(name, [by_name[name]], seconds.get(name, shape.seconds)) for name in names]
    return [*rows, _row(ALL, [one for one in by_name.values() if is_request(one.name)], shape.seconds)]


def is_request(name: str) -> bool:
    """Whether these are answers, and not times that answers told."""
    return not name.startswith(OWN)


def busiest_second(counted: Iterable[Counted]) -> int:
    """The most requests that were answered in one second."""
    seconds: Counter[int] = Counter()
    for one in counted:
        if is_request(one.name):
            seconds.update(one.num_reqs_per_sec)
    return max(seconds.values(), default=0)


def percentile(times: Mapping[float, int], share: float) -> float:
    """The smallest time that at least `share` of all are no longer than; 0.0 of none."""
    needed, seen = math.ceil(sum(times.values()) * share), 0
    for time, count in sorted(times.items()):
        seen += count
        if seen >= needed:
            return time
    return 0.0


def _row(name: str, counted: Sequence[Counted], seconds: float) -> Row:
    times: Counter[float] = Counter()
    for one in counted:
        times.update(one.response_times)
    requests = sum(one.num_requests for one in counted)
    return Row(
        name=name,
        requests=requests,
        failures=sum(one.num_failures for one in counted),
        p50_ms=percentile(times, 0.50),
        p95_ms=percentile(times, 0.95),
        p99_ms=percentile(times, 0.99),
        per_second=requests / seconds,
    )
