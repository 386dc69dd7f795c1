"""How hard the fuzzers try: a bounded run in the suite, a long one behind `make fuzz` (`FUZZ_EFFORT=100`)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EFFORT = int(os.environ.get("FUZZ_EFFORT", "1"))

SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def tries(examples: int) -> settings:
    """Settings of a fuzzer that makes so many examples in the suite."""
    return settings(max_examples=examples * EFFORT, deadline=None, suppress_health_check=SLOW)
