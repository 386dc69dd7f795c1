"""A migrated ledger of each kind for every test that asks for `engine`, and a writer on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Engine

from auction.ledger.engine import open_engine
from auction.ledger.writer import Writer
from tests.stores import (
    empty_url,
    ledger_url,
    migrated_postgres,
    migrated_sqlite,
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
    "migrated_sqlite",
    "postgres",
    "postgres_ledger",
    "postgres_url",
    "sqlite_ledger",
    "sqlite_url",
]


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    """A migrated ledger, SQLite and PostgreSQL in turn."""
    opened = open_engine(ledger_url)
    yield opened
    opened.dispose()


@pytest.fixture
async def writer(engine: Engine) -> AsyncIterator[Writer]:
    """A writer with the limits it has in production."""
    opened = Writer(engine)
    yield opened
    await opened.close()
