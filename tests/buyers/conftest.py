"""Every asynchronous test of this folder runs on both event loops, against real servers on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from auction.buyers.fanout import Fanout, FanoutLimits
from tests.buyers.authority import Authority
from tests.buyers.served import Fanouts, Manner, Serve, Served


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every asynchronous test of this folder runs on both loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(manner, context=None)` starts a server."""
    started: list[Served] = []

    async def start(manner: Manner, context: ssl.SSLContext | None = None) -> Served:
        served = Served(manner)
        started.append(served)
        await served.start(context)
        return served

    yield start
    for served in started:
        await served.stop()


@pytest.fixture
async def fanouts() -> AsyncIterator[Fanouts]:
    """`fanouts(**limits)` makes a client that may speak to loopback; it is closed after the test."""
    made: list[Fanout] = []

    def make(*, allow_private: bool = True, **limits: float) -> Fanout:
        fanout = Fanout(FanoutLimits(**({"sweep_s": 0.02} | limits)), allow_private=allow_private)  # type: ignore[arg-type]
        made.append(fanout)
        return fanout

    yield make
    for fanout in made:
        await fanout.close()
        assert fanout.connections == 0


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))
