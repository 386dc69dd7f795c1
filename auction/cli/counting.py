"""The counters for a command that speaks to them beside a house that runs, or that does not run just now."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

from auction.counters import scripts
from auction.counters.counters import Counters
from auction.counters.embedded import EmbeddedValkey
from auction.counters.link import Link
from auction.errors import OperatorError
from auction.settings import Settings

BOUND_MS = 2_000
"""How long a step may take: a command has the time that a ping has not."""


@contextlib.contextmanager
def counters_url(chosen: Settings) -> Iterator[str]:
    """Where the counters of these settings are. The embedded ones are a running house's; where no house runs, they
    are started for as long as the block takes."""
    if chosen.redis_url is not None:
        yield chosen.redis_url
        return
    valkey = EmbeddedValkey(chosen.data_dir)
    try:
        valkey.start()
    except OperatorError as error:
        if error.code != "data_dir_in_use":
            raise
    try:
        yield valkey.url
    finally:
        valkey.stop()  # does nothing to another's


@contextlib.asynccontextmanager
async def open_counters(url: str) -> AsyncIterator[Counters]:
    """The steps on these counters. Raises `HouseError` where they do not answer."""
    link = Link(url, scripts.ALL, bound_ms=BOUND_MS)
    try:
        await link.open()
        yield Counters(link)
    finally:
        await link.close()
