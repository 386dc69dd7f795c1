"""The counters for a command that speaks to them beside a house that runs, or that does not run just now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import click

from auction.counters import scripts
from auction.counters.counters import Counters
from auction.counters.embedded import EmbeddedValkey
from auction.counters.link import Link
from auction.errors import ExchangeError, OperatorError
from auction.settings import Settings

BOUND_MS = 2_000
"""How long a step may take: a command has the time that a ping has not."""
ANSWER_WITHIN_MS = 2_000
"""How long a command waits for counters that do not answer."""


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


def tell_counters(settings: Settings, step: Callable[[Counters], Awaitable[object]], else_what: str) -> None:
    """Does this step. What is in the ledger stays so if the counters are away: then `else_what` is said."""

    async def tell(url: str) -> None:
        async with open_counters(url) as counters:
            await step(counters)

    try:
        with counters_url(settings) as url:
            asyncio.run(tell(url))
    except (ExchangeError, OSError) as error:
        click.echo(f"the counters could not be told, so {else_what}: {error}", err=True)


@contextlib.asynccontextmanager
async def open_counters(url: str) -> AsyncIterator[Counters]:
    """The steps on these counters. Raises `HouseError` where they do not answer."""
    link = Link(url, scripts.ALL, bound_ms=BOUND_MS)
    try:
        await link.open(within_ms=ANSWER_WITHIN_MS)
        yield Counters(link)
    finally:
        await link.close()
