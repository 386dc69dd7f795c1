"""What every room's tests may ask for: real stores, and a whole house on them."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from auction.counters.embedded import EmbeddedValkey
from auction.counters.link import Link
from tests.house import House, open_house
from tests.stores import (
    empty_url,
    ledger_url,
    migrated_postgres,
    postgres,
    postgres_ledger,
    postgres_url,
    sqlite_ledger,
    sqlite_url,
)

__all__ = [
    "empty_url",
    "ledger_url",
    "migrated_postgres",
    "postgres",
    "postgres_ledger",
    "postgres_url",
    "sqlite_ledger",
    "sqlite_url",
]

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]
# On a busy machine the fifth of a second that hypothesis allows an example is soon over, and says nothing. The suite
# tries the same examples every time, for a change must not be refused for what another one did. Whoever looks for more
# (`make fuzz` does) gives `--hypothesis-profile random`.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", settings.get_profile("random"), derandomize=True, database=None)
settings.load_profile("suite")

TESTS = Path(__file__).parent
LONG = ("fuzz", "soak", "faults", "exactness", "cli", "loadtest")
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Folders of tests are in memory, where there is room: a house opens twice as fast where nothing waits for a disk.

    Not if TMPDIR or --basetemp say where. What a killed process wrote is there either way.
    """
    told = "TMPDIR" in os.environ or config.option.basetemp is not None
    if not told and os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free >= ROOM_BYTES:
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays until the end: looked at by every full collection of garbage, it would
    cost a tenth of the suite's time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that wait for processes come first, the longest ahead: who has nothing left then takes over short ones."""

    def turn(item: pytest.Item) -> int:
        room = item.path.relative_to(TESTS).parts[0]
        return LONG.index(room) if room in LONG else len(LONG)

    items.sort(key=turn)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """One real Valkey for the session."""
    server = EmbeddedValkey(Path(tmp_path_factory.mktemp("valkey")))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def emptied_valkey(valkey: EmbeddedValkey) -> str:
    """The URL of the session's Valkey, with nothing in it."""
    link = Link(valkey.url, bound_ms=5_000)
    await link.open()
    await link.call("FLUSHALL")
    await link.close()
    return valkey.url


@pytest.fixture
async def open_test_house(
    tmp_path: Path, emptied_valkey: str, ledger_url: str
) -> AsyncIterator[Callable[..., Any]]:
    """Opens a house on this test's stores: `await open_test_house(orders, manners, …)`. On SQLite and PostgreSQL."""
    async with AsyncExitStack() as houses:
        yield partial(_opened, houses, tmp_path, emptied_valkey, ledger_url)


@pytest.fixture
async def open_sqlite_house(
    tmp_path: Path, emptied_valkey: str, sqlite_ledger: str
) -> AsyncIterator[Callable[..., Any]]:
    """As `open_test_house`, on SQLite alone: for what does not hang on the database."""
    async with AsyncExitStack() as houses:
        yield partial(_opened, houses, tmp_path, emptied_valkey, sqlite_ledger)


async def _opened(
    houses: AsyncExitStack,
    folder: Path,
    redis_url: str,
    ledger_url: str,
    orders: list[dict[str, Any]],
    manners: Mapping[str, Mapping[str, Any]] | None = None,
    **changes: Any,
) -> House:
    return await houses.enter_async_context(
        open_house(folder, redis_url, ledger_url, orders, manners, **changes)
    )
