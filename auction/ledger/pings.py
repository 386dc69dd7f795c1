"""The log of auctions: written off the hot path in batches, read to explain one auction or to sum up many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection, Dialect, Insert, and_, bindparam, case, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from auction.ledger.records import PingRow, PingSums
from auction.ledger.schema import pings

MOST_PINGS: Final = 1_000


def _upsert(statement: Any) -> Insert:
    """A lead that changed is auctioned again under its ping's id: the later auction is the one it is sold in."""
    new = statement.excluded
    later = {column.name: new[column.name] for column in pings.c if not column.primary_key}
    upsert: Insert = statement.on_conflict_do_update(
        index_elements=[pings.c.ping_id], set_=later, where=pings.c.at_ms <= new.at_ms
    )
    return upsert


_INSERT: dict[bool, Insert] = {
    False: _upsert(sqlite.insert(pings)),
    True: _upsert(postgresql.insert(pings)),
}
_COLUMNS: Final = tuple(column.name for column in pings.c)
_FIND = select(pings).where(pings.c.ping_id == bindparam("ping_id"))
_RECENT = select(pings).order_by(pings.c.at_ms.desc(), pings.c.ping_id.desc()).limit(bindparam("most"))
_encode_json = msgspec.json.Encoder().encode
_encode_msgpack = msgspec.msgpack.Encoder().encode


def insert_pings(conn: Connection, rows: Sequence[PingRow]) -> None:
    """Writes all of them with one statement. Of two auctions of one ping the later one is kept.

    The rows go to the driver as they are: they are plain texts and numbers, and to have SQLAlchemy look at every
    value again cost three times what writing them does.
    """
    if rows:
        conn.exec_driver_sql(_insert_text(conn.dialect), _parameters(conn, rows))


def _parameters(conn: Connection, rows: Sequence[PingRow]) -> list[Any]:
    if conn.dialect.positional:
        return [_values_of(row) for row in rows]
    return [dict(zip(_COLUMNS, _values_of(row), strict=True), test=row.test) for row in rows]


@lru_cache(maxsize=2)
def _insert_text(dialect: Dialect) -> str:
    """The statement as this driver takes it."""
    compiled = _INSERT[dialect.name == "postgresql"].compile(dialect=dialect)
    assert not dialect.positional or compiled.positiontup == list(_COLUMNS)
    return str(compiled)


def find_ping(conn: Connection, ping_id: str) -> PingRow | None:
    """The auction of this ping, `detail` decoded. None if it is not known, or was dropped from the log."""
    row = conn.execute(_FIND, {"ping_id": ping_id}).mappings().first()
    return None if row is None else _row_of(row)


def recent_pings(
    conn: Connection,
    *,
    seller: str | None = None,
    campaign: str | None = None,
    before: tuple[int, str] | None = None,
    most: int = 100,
) -> list[PingRow]:
    """The latest auctions, newest first, at most `MOST_PINGS`. `before` is the (at_ms, ping_id) of the last
    one of the page before."""
    query = _RECENT
    if seller is not None:
        query = query.where(pings.c.seller == seller)
    if campaign is not None:
        query = query.where(pings.c.campaign == campaign)
    if before is not None:
        at_ms, ping_id = before
        query = query.where(
            or_(pings.c.at_ms < at_ms, and_(pings.c.at_ms == at_ms, pings.c.ping_id < ping_id))
        )
    rows = conn.execute(query, {"most": min(most, MOST_PINGS)}).mappings()
    return [_row_of(row) for row in rows]


def sum_pings(
    conn: Connection,
    *,
    by: Literal["campaign", "seller"],
    since_ms: int,
    until_ms: int,
    test: bool = False,
) -> list[PingSums]:
    """For each campaign (or seller): its auctions with `since_ms <= at_ms < until_ms`, by name."""
    name = pings.c[by]
    offered = pings.c.status == "offer"
    query = (
        select(
            name.label("name"),
            func.count().label("pings"),
            func.sum(case((offered, 1), else_=0)).label("offers"),
            func.sum(pings.c.payout_micros).label("payout_micros"),
        )
        .where(pings.c.at_ms >= since_ms, pings.c.at_ms < until_ms, pings.c.test == test)
        .group_by(name)
        .order_by(name)
    )
    return [
        # PostgreSQL sums big integers into a decimal
        PingSums(name=row.name, pings=row.pings, offers=int(row.offers), payout_micros=int(row.payout_micros))
        for row in conn.execute(query)
    ]


def _values_of(row: PingRow) -> tuple[Any, ...]:
    """A row as `_COLUMNS` stand. `test` is a number, as SQLite keeps it: its driver takes long over a bool."""
    return (
        row.ping_id,
        row.at_ms,
        row.seller,
        row.campaign,
        int(row.test),
        row.status,
        row.reason,
        row.payout_micros,
        row.market_version,
        row.sub_id,
        _encode_json(row.lead).decode(),
        _encode_msgpack(row.detail),
        row.own_us,
        row.wait_us,
    )


def _row_of(row: Any) -> PingRow:
    columns = {
        **row,
        "lead": msgspec.json.decode(row["lead"]),
        "detail": msgspec.msgpack.decode(row["detail"]),
    }
    return PingRow(**columns)
