"""What can be measured, by name, in the order of a whole run. Each scenario takes the stage and gives its figures."""

from __future__ import annotations

from collections.abc import Callable

from loadtest.bench.figures import Figure
from loadtest.bench.scenarios import (
    buyers,
    deadline,
    eligibility,
    fairness,
    https,
    main,
    memory,
    metrics,
    open_loop,
    overload,
    own_time,
    post,
    sales,
    soak,
    suppression,
)
from loadtest.bench.stage import Stage

Scenario = Callable[[Stage], list[Figure]]

SCENARIOS: dict[str, Scenario] = {
    "main": main.run,
    "https": https.run,
    "buyers": buyers.run,
    "own": own_time.run,
    "open": open_loop.run,
    "overload": overload.run,
    "fairness": fairness.run,
    "deadline": deadline.run,
    "post": post.run,
    "sales": sales.run,
    "eligibility": eligibility.run,
    "metrics": metrics.run,
    "memory": memory.run,
    "suppression": suppression.run,
    "soak": soak.run,
}
LONG = frozenset({"soak"})
"""Run only where they are named."""
