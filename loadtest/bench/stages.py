"""Where a ping's own time goes, stage by stage, as the server counts it itself: read from its `/metrics`."""

from __future__ import annotations

import re
import urllib.request

_LINE = re.compile(r'^auction_ping_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)$', re.MULTILINE)

Stages = dict[str, tuple[float, float]]
"""Seconds and pings, by stage."""


def read_stages(port: int) -> Stages:
    """What all pings since the start add up to."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for what, stage, value in _LINE.findall(text):
        found.setdefault(stage, {})[what] = float(value)
    return {stage: (each["sum"], each["count"]) for stage, each in found.items()}


def means_us(before: Stages, after: Stages) -> dict[str, float]:
    """Microseconds per ping in each stage, of the pings in between."""
    means = {}
    for stage, (seconds, pings) in after.items():
        seconds_before, pings_before = before.get(stage, (0.0, 0.0))
        if pings > pings_before:
            means[stage] = (seconds - seconds_before) * 1e6 / (pings - pings_before)
    return means
