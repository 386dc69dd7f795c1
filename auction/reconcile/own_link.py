"""A link for what is slow: beside the one on which pings wait, so that it is in nobody's way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from auction.counters import scripts
from auction.counters.link import Link

BOUND_MS = 10_000
"""How long one call may take."""


@asynccontextmanager
async def own_link(redis_url: str) -> AsyncIterator[Link]:
    """Open until the end of the block, with no gate in front of it. Raises `CountersUnavailable`, `OperatorError`."""
    link = Link(redis_url, scripts.ALL, bound_ms=BOUND_MS, stall_ms=BOUND_MS)
    try:
        await link.open()
        yield link
    finally:
        await link.close()
