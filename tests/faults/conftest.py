"""A whole house on SQLite and Valkey, for tests that break one part of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.house import House, open_house


@pytest.fixture
async def open_sqlite_house(
    tmp_path: Path, emptied_valkey: str, sqlite_ledger: str
) -> AsyncIterator[Callable[..., Any]]:
    """As `open_test_house`, on SQLite alone: what breaks here does not hang on the database."""
    async with AsyncExitStack() as houses:

        async def opened(
            orders: list[dict[str, Any]],
            manners: Mapping[str, Mapping[str, Any]] | None = None,
            **changes: Any,
        ) -> House:
            house = open_house(tmp_path, emptied_valkey, sqlite_ledger, orders, manners, **changes)
            return await houses.enter_async_context(house)

        yield opened
