"""Links to the session's Valkey, which is emptied for every test; they are closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from auction.counters import scripts
from auction.counters.counters import Counters
from auction.counters.embedded import EmbeddedValkey
from auction.counters.link import Link

OpenLink = Callable[..., Awaitable[Link]]


@pytest.fixture
async def open_link(valkey: EmbeddedValkey) -> AsyncIterator[OpenLink]:
    """Opens links, to the session's server unless told otherwise, with a bound that a busy machine keeps."""
    links: list[Link] = []

    async def opened(url: str = valkey.url, bound_ms: int = 5_000, **settings: int) -> Link:
        link = Link(url, scripts.ALL, bound_ms=bound_ms, **settings)
        links.append(link)
        await link.open(within_ms=20_000)
        return link

    yield opened
    for link in links:
        await link.close()


@pytest.fixture
async def link(open_link: OpenLink) -> Link:
    link = await open_link()
    await link.call("FLUSHALL")
    return link


@pytest.fixture
def counters(link: Link) -> Counters:
    return Counters(link)
