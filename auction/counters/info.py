"""What the counters' server says of itself, as `INFO` writes it."""

from __future__ import annotations


def read_info(told: bytes) -> dict[str, str]:
    """By name. Headings of sections and lines that say nothing are left out."""
    lines = (line.partition(":") for line in told.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in lines if colon}
