"""A migrated ledger of each kind for every test that asks for `engine`, and a writer on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Engine

from auction.ledger.engine import open_engine
from auction.ledger.writer import Writer


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
