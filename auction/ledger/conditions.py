"""Lists out of tables: rows that meet conditions, a page of them, and how many there are, counted up to a bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, false, func, not_, or_, select

T = TypeVar("T")
Value = str | int | float | bool | None

MOST_COUNTED: Final = 10_000
"""Rows are counted up to here: to count millions takes longer than anybody waits for a page."""


class Wanted(msgspec.Struct, frozen=True):
    """A column has one of these values, or (`negated`) none of them. None is a column that is empty."""

    column: str
    values: frozenset[Value]
    negated: bool = False


class Asked(msgspec.Struct, frozen=True):
    """What is asked for: rows that meet all of it, from `since_ms` on and before `until_ms`."""

    wanted: tuple[Wanted, ...] = ()
    limit: int = 10
    skip: int = 0
    since_ms: int | None = None
    until_ms: int | None = None


class Found(msgspec.Struct, Generic[T], frozen=True):
    """A page, and how many rows there are in all (at most `MOST_COUNTED` are counted)."""

    total: int
    rows: Sequence[T]


def condition(column: ColumnElement[Any], one: Wanted) -> ColumnElement[bool]:
    """Whether a column meets it. A column that is empty is not any value but None."""
    values = sorted((value for value in one.values if value is not None), key=str)
    ways: list[ColumnElement[bool]] = [column.in_(values)] if values else []
    if None in one.values:
        ways.append(column.is_(None))
    meets = or_(false(), *ways)
    if not one.negated:
        return meets
    return not_(meets) if None in one.values else or_(not_(meets), column.is_(None))


def where(
    asked: Asked, columns: Mapping[str, ColumnElement[Any]], at: ColumnElement[Any] | None = None
) -> list[ColumnElement[bool]]:
    """The conditions on the columns that it names, and on the time `at` (the column `at_ms`, if none is given)."""
    meets = [condition(columns[one.column], one) for one in asked.wanted if one.column in columns]
    time = columns["at_ms"] if at is None else at
    if asked.since_ms is not None:
        meets.append(time >= asked.since_ms)
    if asked.until_ms is not None:
        meets.append(time < asked.until_ms)
    return meets


def found(conn: Connection, rows: Select[Any], asked: Asked, read: Callable[[Any], T]) -> Found[T]:
    """The page that is asked for of these rows, which have an order."""
    few = rows.with_only_columns(rows.selected_columns[0]).order_by(None).limit(MOST_COUNTED).subquery()
    total = conn.execute(select(func.count()).select_from(few)).scalar_one()
    page = conn.execute(rows.limit(asked.limit).offset(asked.skip)).mappings()
    return Found(int(total), [read(row) for row in page])
