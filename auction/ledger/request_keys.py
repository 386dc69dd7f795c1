"""`Idempotency-Key`s of changes of the catalogue, in the ledger: see `auction.request_keys` for what is promised.

Here, and not with the counters, for nothing else tells a repeated change, and because the answer is then written in
the transaction of the change itself (`end_key`): one is never there without the other, whenever a process ends.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from auction.ledger.engine import is_postgresql
from auction.ledger.schema import request_keys
from auction.ledger.writer import Writer
from auction.request_keys import Begun, Ended, KeyUse, OfAnother, TooMany, UnderWay

KEPT_MS: Final = 86_400_000
MOST_KEYS: Final = 10_000
"""Keys kept for one caller."""

State = Begun | Ended | UnderWay | OfAnother | TooMany

_KEY = select(request_keys).where(request_keys.c.name == bindparam("name")).with_for_update()
_LIVE = (request_keys.c.caller == bindparam("caller"), request_keys.c.until_ms > bindparam("now_ms"))
_COUNT = select(func.count(), func.min(request_keys.c.until_ms)).where(*_LIVE)
_MINE = (
    request_keys.c.name == bindparam("of_name"),
    request_keys.c.owner == bindparam("of_owner"),
    request_keys.c.answer.is_(None),
)
_OLD = (
    select(request_keys.c.name)
    .where(request_keys.c.until_ms <= bindparam("now_ms"))
    .order_by(request_keys.c.until_ms)
    .limit(bindparam("most"))
)


class LedgerKeys:
    """`RequestKeys` in the ledger."""

    def __init__(self, writer: Writer, most_keys: int = MOST_KEYS) -> None:
        self._writer = writer
        self._most_keys = most_keys

    def begin(self, use: KeyUse, now_ms: int, lease_ms: int) -> Awaitable[State]:
        """See `RequestKeys`."""
        return self._writer.write(
            partial(begin_key, use=use, now_ms=now_ms, lease_ms=lease_ms, most_keys=self._most_keys)
        )

    def end(self, use: KeyUse, now_ms: int, answer: bytes | None) -> Awaitable[bool]:
        """See `RequestKeys`."""
        return self._writer.write(partial(end_key, use=use, now_ms=now_ms, answer=answer))


def begin_key(conn: Connection, use: KeyUse, now_ms: int, lease_ms: int, most_keys: int = MOST_KEYS) -> State:
    """The owner takes the key, if it is free."""
    row = {
        "name": use.name,
        "caller": use.caller,
        "print": use.print_of,
        "owner": use.owner,
        "until_ms": now_ms + lease_ms,
        "answer": None,
    }
    known = conn.execute(_KEY, {"name": use.name}).first()
    if known is None:
        many, first_ms = conn.execute(_COUNT, {"caller": use.caller, "now_ms": now_ms}).one()
        if many >= most_keys:
            return TooMany(int(first_ms))
        insert_or_not: Any = (postgresql.insert if is_postgresql(conn) else sqlite.insert)(request_keys)
        taken = insert_or_not.values(row).on_conflict_do_nothing().returning(request_keys.c.name)
        if conn.execute(taken).first() is not None:
            return Begun()
        # another has come first, and is done inserting
        known = conn.execute(_KEY, {"name": use.name}).first()
        if known is None:
            return UnderWay()
    if known.until_ms <= now_ms:
        conn.execute(update(request_keys).where(request_keys.c.name == use.name).values(row))
        return Begun()
    if known.print != use.print_of:
        return OfAnother()
    return UnderWay() if known.answer is None else Ended(known.answer)


def end_key(conn: Connection, use: KeyUse, now_ms: int, answer: bytes | None) -> bool:
    """The answer is kept for a day (None: the key is free). False where the key is another's, or was ended."""
    mine = {"of_name": use.name, "of_owner": use.owner}
    if answer is None:
        return conn.execute(delete(request_keys).where(*_MINE), mine).rowcount == 1
    kept = update(request_keys).where(*_MINE).values(answer=answer, until_ms=now_ms + KEPT_MS)
    return conn.execute(kept, mine).rowcount == 1


def drop_old_keys(conn: Connection, now_ms: int, most: int) -> int:
    """Removes keys that are kept no longer, at most so many; how many there were."""
    names = conn.execute(_OLD, {"now_ms": now_ms, "most": most}).scalars().all()
    if names:
        conn.execute(delete(request_keys).where(request_keys.c.name.in_(names)))
    return len(names)
