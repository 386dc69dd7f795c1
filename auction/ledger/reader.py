"""Reads, on a few threads of their own: a slow question holds up neither the loop nor the writer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from auction.ledger.engine import is_postgresql
from auction.ledger.faults import away, full, is_away

T = TypeVar("T")


class Reader:
    """Asks the ledger. Every read sees one moment of it, however many statements it makes."""

    def __init__(
        self, engine: Engine, *, threads: int = 4, max_waiting: int = 1_000, timeout_s: float = 5.0
    ) -> None:
        self.reads_refused = 0
        self.reads_away = 0
        self._engine = _reading(engine)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="ledger-reader")
        self._waiting = 0
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s

    async def read(self, question: Callable[[Connection], T]) -> T:
        """What `question` returns; its own exceptions pass through.

        Raises `HouseError("ledger_full")` when too many wait, `HouseError("ledger_unavailable")` when the
        database is away or takes longer than `timeout_s`.
        """
        if self._waiting >= self._max_waiting:
            self.reads_refused += 1
            raise full("reads")
        asked = asyncio.get_running_loop().run_in_executor(self._pool, self._ask, question)
        self._waiting += 1
        asked.add_done_callback(self._answered)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asked
        except TimeoutError:
            self.reads_away += 1
            raise away() from None
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            self.reads_away += 1
            raise away() from error

    async def close(self, timeout_s: float = 5.0) -> None:
        """Takes no more questions, and waits a while for those that are being answered to let go of the database."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.to_thread(self._pool.shutdown, wait=True)

    def _ask(self, question: Callable[[Connection], T]) -> T:
        with self._engine.connect() as conn:
            return question(conn)

    def _answered(self, asked: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if not asked.cancelled():
            asked.exception()  # a late failure after the timeout was told already


def _reading(engine: Engine) -> Engine:
    """SQLite's transactions are snapshots by nature; PostgreSQL's are when asked."""
    if is_postgresql(engine):
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine
