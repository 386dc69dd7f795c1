"""What operators do to a running house: changes of the catalogue, made by steps that block, in a thread of their own.

A change reads the whole catalogue and holds it to the rules, which takes a while for thousands of orders: here it is in
nobody's way. One at a time, for two would only find that the other came between; so many may wait.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from auction.clock import Clock
from auction.errors import HouseError
from auction.idempotency import Idempotency
from auction.ledger.engine import transaction
from auction.ledger.faults import away, is_away
from auction.ledger.request_keys import LedgerKeys
from auction.ledger.sealing import Sealer
from auction.ledger.writer import Writer
from auction.tally import counts

T = TypeVar("T")

MOST_WAITING: Final = 32
MOST_ANSWER_BYTES: Final = 2 * 1024 * 1024
"""An answer that is kept holds a whole entry; none is longer than what a door reads."""
HASHED: Final = "sha256:"


class Administration:
    """Does what operators ask for. Counts what was `done` (by what), and what it `refused` for being too much."""

    def __init__(self, engine: Engine, writer: Writer, sealer: Sealer, clock: Clock) -> None:
        self.idempotency = Idempotency(LedgerKeys(writer), sealer, clock, MOST_ANSWER_BYTES)
        self.done = counts()  # (action,)
        self.refused = 0
        self.waiting = 0
        self._engine = engine
        self._sealer = sealer
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="administration")

    async def run(self, action: str, step: Callable[[Engine], T]) -> T:
        """What `step` returns; what it raises passes through. Raises `HouseError` where too many wait, or the ledger
        is away: then it is not known whether it was done."""
        if self.waiting >= MOST_WAITING:
            self.refused += 1
            raise HouseError("house_full", "Too many changes of the catalogue wait; try again shortly.")
        self.waiting += 1
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._pool, step, self._engine)
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            raise away() from error
        finally:
            self.waiting -= 1
        self.done[(action,)] += 1
        return made

    async def write(self, action: str, step: Callable[[Connection], T]) -> T:
        """The same for a step that is one transaction."""

        def transact(engine: Engine) -> T:
            with transaction(engine) as conn:
                return step(conn)

        return await self.run(action, transact)

    def tag_of(self, document: dict[str, Any]) -> str:
        """What tells one state of an entry from another (an entity tag). Keyed, for secrets are part of the entry."""
        said = msgspec.json.encode(document, order="sorted")
        return self._sealer.keyed_hash("entity tag", said).hex()[:32]

    async def close(self) -> None:
        """Take nothing more; what runs is done."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


def new_key() -> str:
    """An API key: 256 random bits."""
    return "ak_" + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    """What is kept of a key."""
    return HASHED + sha256(key.encode()).hexdigest()
