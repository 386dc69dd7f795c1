"""A mock that plays on this loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import uvloop

from buyers_mock.server import listening
from tests.buyers_mock.client import Mock, Opener, script_of


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as in `python -m buyers_mock`."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def play() -> AsyncIterator[Opener]:
    """`await play({buyer: manner}, seed=…)`: a mock on a free port until the test ends."""
    async with contextlib.AsyncExitStack() as exits:

        async def start(buyers: Mapping[str, object], **options: Any) -> Mock:
            mock = await exits.enter_async_context(listening(script_of(buyers), **options))
            return Mock(mock, exits)

        yield start
