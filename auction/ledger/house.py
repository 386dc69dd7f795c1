"""Who a ledger is, and which counters are traded on with it.

A ledger has an id that was made up once and moves with it. The counters carry it too, so counters of another ledger
are found out (`counters/era.py`). The other way round is found out here: two machines, each with counters of its
own, on one shared database would each fill every cap. So the ledger says which counters are in use, where they are,
and when a worker last saw them; others are taken up only when nobody sees those any more, or in the same place.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from auction.ledger.engine import is_postgresql
from auction.ledger.schema import house

UNSEEN_MS: Final = 20_000
"""Counters that nobody has seen for so long are out of use."""
RENEW_MS: Final = 5_000
"""How often they are seen."""

_SELECT = select(
    house.c.house_id,
    house.c.made_at_ms,
    house.c.counters_id,
    house.c.counters_where,
    house.c.counters_seen_ms,
)
_INSERT = {
    on_postgresql: insert_or_not(house)
    .values(one=1, house_id=bindparam("made_id"), made_at_ms=bindparam("now_ms"))
    .on_conflict_do_nothing()
    for on_postgresql, insert_or_not in ((False, sqlite.insert), (True, postgresql.insert))
}
_SEEN = (
    update(house)
    .where(
        or_(
            house.c.counters_id.is_(None),
            house.c.counters_id == bindparam("mine"),
            house.c.counters_where == bindparam("mine_where"),
            house.c.counters_seen_ms < bindparam("unseen_since_ms"),
        )
    )
    .values(
        counters_id=bindparam("mine"),
        counters_where=bindparam("mine_where"),
        counters_seen_ms=bindparam("now_ms"),
    )
)
_LEAVE = update(house).where(house.c.counters_id == bindparam("mine")).values(counters_seen_ms=0)


class HouseRow(msgspec.Struct, frozen=True):
    """A ledger's id, and the counters in use with it: their id, where they are, when they were last seen."""

    house_id: str
    made_at_ms: int
    counters_id: str | None
    counters_where: str | None
    counters_seen_ms: int | None


def house_of(conn: Connection, made_id: str, now_ms: int) -> HouseRow:
    """The ledger's row. Where it has none, it is `made_id` from now on: run it in a writing transaction."""
    row = conn.execute(_SELECT).first()
    if row is None:
        conn.execute(_INSERT[is_postgresql(conn)], {"made_id": made_id, "now_ms": now_ms})
        row = conn.execute(_SELECT).one()
    return HouseRow(**row._mapping)


def find_house(conn: Connection) -> HouseRow | None:
    """The ledger's row, if it has one."""
    row = conn.execute(_SELECT).first()
    return None if row is None else HouseRow(**row._mapping)


def counters_seen(conn: Connection, counters_id: str, where: str, now_ms: int) -> HouseRow | None:
    """Says that these counters are in use now. None if it is so; else the row of those that are, unchanged."""
    words = {
        "mine": counters_id,
        "mine_where": where,
        "now_ms": now_ms,
        "unseen_since_ms": now_ms - UNSEEN_MS,
    }
    if conn.execute(_SEEN, words).rowcount == 1:
        return None
    return HouseRow(**conn.execute(_SELECT).one()._mapping)


def counters_left(conn: Connection, counters_id: str) -> None:
    """Says that a worker stops: who sees the counters still says so again soon."""
    conn.execute(_LEAVE, {"mine": counters_id})
