"""What operators do to a running house: steps that block, each in its turn among all changes, on a thread."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from auction.changes.changing import Changing
from auction.clock import Clock
from auction.idempotency import Idempotency
from auction.ledger.engine import transaction
from auction.ledger.faults import away, is_away
from auction.ledger.request_keys import LedgerKeys
from auction.ledger.sealing import Sealer
from auction.ledger.writer import Writer
from auction.tally import counts

T = TypeVar("T")

MOST_ANSWER_BYTES: Final = 2 * 1024 * 1024
"""An answer that is kept holds a whole entry; none is longer than what a door reads."""
HASHED: Final = "sha256:"


class Administration:
    """Does what operators ask for. Counts what was `done`, by what it was."""

    def __init__(
        self, engine: Engine, writer: Writer, sealer: Sealer, clock: Clock, changing: Changing
    ) -> None:
        self.idempotency = Idempotency(LedgerKeys(writer), sealer, clock, MOST_ANSWER_BYTES)
        self.done = counts()  # (action,)
        self._engine = engine
        self._sealer = sealer
        self._changing = changing

    async def run(self, action: str, step: Callable[[Engine], T]) -> T:
        """What `step` returns; what it raises passes through. It has a turn among all changes of this process.

        Raises `HouseError` where too many wait, or the ledger is away: then it is not known whether it was done.
        """
        async with self._changing.turn():
            try:
                made = await asyncio.to_thread(step, self._engine)
            except SQLAlchemyError as error:
                if not is_away(error):
                    raise
                raise away() from error
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


def new_key() -> str:
    """An API key: 256 random bits."""
    return "ak_" + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    """What is kept of a key."""
    return HASHED + sha256(key.encode()).hexdigest()
