"""A statement of SQLAlchemy Core, compiled once for each kind of database and run by the driver itself.

Core takes some 25 µs to run a statement that SQLite does in 8: for types and results that the writes of a post
do not need, since a row is text, integers, bytes and Booleans in both databases. So these are written in Core,
checked against the schema by it, and handed over as the text that it makes of them.

Faults are raised as Core raises them, so `faults` reads both alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Dialect, literal_column
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ClauseElement

T = TypeVar("T")
Row = Mapping[str, Any]
"""Values by the names of the statement's parameters; what it has no parameter for is passed over."""


class Statement:
    """One statement with named parameters; `on_postgresql` where that database needs another construct.

    It runs inside a transaction that was begun. A value goes to the driver as it is: text, int, bytes, bool or
    None. What comes back is a plain tuple, in which SQLite's Booleans are 0 and 1.
    """

    __slots__ = ("_made", "_on_postgresql", "_ready")

    def __init__(self, made: ClauseElement, *, on_postgresql: ClauseElement | None = None) -> None:
        self._made = made
        self._on_postgresql = made if on_postgresql is None else on_postgresql
        self._ready: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def count(self, conn: Connection, row: Row) -> int:
        """Runs it: how many rows it wrote. Raises `DBAPIError`."""
        return self._run(conn, row, _row_count)

    def first(self, conn: Connection, row: Row) -> tuple[Any, ...] | None:
        """Runs it: its first row. Raises `DBAPIError`."""
        return self._run(conn, row, _first_row)

    def each(self, conn: Connection, rows: Sequence[Row]) -> None:
        """Runs it for each of `rows`. Raises `DBAPIError`."""
        for row in rows:
            self._run(conn, row, _row_count)

    def _run(self, conn: Connection, row: Row, read: Callable[[Any], T]) -> T:
        assert conn.in_transaction(), "outside of a transaction SQLite would commit each row by itself"
        text, values = self._ready.get(conn.dialect.name) or self._compile(conn.dialect)
        driver: Any = conn.connection.dbapi_connection
        try:
            return read(driver.execute(text, values(row)))
        except conn.dialect.loaded_dbapi.Error as error:
            raise _fault(conn, driver, text, error) from error

    def _compile(self, dialect: Dialect) -> tuple[str, Callable[[Row], Any]]:
        made = self._on_postgresql if dialect.name == "postgresql" else self._made
        compiled: Any = made.compile(dialect=dialect)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        ready = str(compiled), _values(compiled.positiontup if compiled.positional else None, constants)
        self._ready[dialect.name] = ready
        return ready


def words(states: Iterable[str]) -> list[ColumnElement[str]]:
    """States as a statement's own text: PostgreSQL then sees which partial index they fit."""
    return [literal_column(f"'{state}'") for state in states]


def _row_count(cursor: Any) -> int:
    return int(cursor.rowcount)


def _first_row(cursor: Any) -> tuple[Any, ...] | None:
    found: list[tuple[Any, ...]] = cursor.fetchall()  # to its end: SQLite then lets go of the statement
    return found[0] if found else None


def _values(names: Sequence[str] | None, constants: Row) -> Callable[[Row], Any]:
    """From a row to what the driver takes: values in their order, or by `names` of their own."""
    if names is None:
        return lambda row: {**constants, **row}
    if constants or len(names) < 2:
        return lambda row: [row[name] if name in row else constants[name] for name in names]
    return itemgetter(*names)


def _fault(conn: Connection, driver: Any, text: str, error: Exception) -> BaseException:
    """The driver's error as Core would raise it. A connection that it ended is not used again."""
    dialect: Any = conn.dialect
    gone = bool(dialect.is_disconnect(error, driver, None))
    if gone:
        conn.invalidate(error)
    return DBAPIError.instance(
        text,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=gone,
        dialect=dialect,
    )
