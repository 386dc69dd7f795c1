"""Opens the database, the same way for everybody: SQLite by default, PostgreSQL when one machine is not
enough.

The drivers are the synchronous ones (sqlite3, psycopg 3), run on threads of our own: a group commit is then
one hop to a thread and one transaction, with no hop per statement.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from sqlite3 import OperationalError as SQLiteError
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from auction.errors import OperatorError

BUSY_MS: Final = 2_000
"""How long a writer waits for another's lock, and anybody for a connection."""
STATEMENT_MS: Final = 10_000
"""No statement of a PostgreSQL runs longer."""
CUT_WITHIN_S: Final = 5.0
_KEEPALIVE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""A server whose machine is gone for good is noticed within 25 s: the system's own default is two hours."""
_WRITES: Final = "ledger_writes"


def open_engine(url: str, *, busy_ms: int = BUSY_MS, pool_size: int = 8) -> Engine:
    """An engine on `sqlite:///path` or `postgresql://…`; nothing is connected yet.

    Raises `OperatorError` where the URL cannot be used. No text of ours ever holds its password, and
    errors of the engine hold no parameters. (PostgreSQL's own DETAIL may quote a row; personal data
    is sealed there.)
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise _bad_url("is not a database URL") from None
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, busy_ms, pool_size)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return _open_postgresql(parsed.set(drivername="postgresql+psycopg"), busy_ms, pool_size)
    raise _bad_url(f"names {parsed.drivername}, which the ledger does not speak")


def is_postgresql(at: Engine | Connection) -> bool:
    """Which of the two it is, for the few places where it matters."""
    return at.dialect.name == "postgresql"


def writing(engine: Engine) -> Engine:
    """The same engine and pool, for transactions that write.

    SQLite then takes its one write lock at the start (BEGIN IMMEDIATE) and waits for it, where a transaction
    that finds out later that it writes would fail at once.
    """
    return engine.execution_options(**{_WRITES: True})


def overwrite_what_is_erased(engine: Engine, within_s: float = CUT_WITHIN_S) -> bool:
    """Let no file of SQLite hold what was erased so far: its log is written back and cut to nothing.

    Nobody is made to wait: while others read or write it is tried again, until `within_s`. False where it could not be
    done by then. Nothing is done to a PostgreSQL, which frees what was erased when it vacuums.
    """
    if is_postgresql(engine):
        return True
    until_s = time.monotonic() + within_s
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        (before_ms,) = conn.exec_driver_sql("PRAGMA busy_timeout").one()
        conn.exec_driver_sql("PRAGMA busy_timeout = 0")  # it would keep writers out for as long as it waits
        try:
            conn.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
            while conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
                if time.monotonic() > until_s:
                    return False
                time.sleep(0.01)
        finally:
            conn.exec_driver_sql(f"PRAGMA busy_timeout = {int(before_ms)}")
    return True


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One writing transaction, for the command line: commits at the end, rolls back on an exception."""
    with writing(engine).begin() as conn:
        yield conn


def _bad_url(what: str) -> OperatorError:
    return OperatorError(
        "bad_database_url",
        f"AUCTION_DATABASE_URL {what}: write sqlite:///path or postgresql://user@host/name",
    )


def _open_sqlite(url: URL, busy_ms: int, pool_size: int) -> Engine:
    if not url.database or ":memory:" in url.database or "file:" in url.database:
        raise _bad_url("needs the path of a file")
    path = Path(url.database)

    def create(conn: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        _greet_sqlite(conn, busy_ms)

    engine = create_engine(
        URL.create("sqlite", database=str(path), query=url.query),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=busy_ms / 1_000,
        connect_args={"timeout": busy_ms / 1_000, "isolation_level": None},
        hide_parameters=True,
    )
    event.listen(engine, "do_connect", lambda *_: _make_private(path))
    event.listen(engine, "connect", create)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(path: Path) -> None:
    """Only the exchange's own user reads the ledger; SQLite gives its -wal and -shm the mode of the file."""
    with suppress(OSError):  # what is wrong with the path, the connect that follows says better
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _greet_sqlite(conn: Any, busy_ms: int) -> None:
    cursor = conn.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(busy_ms)}")
    _turn_on_wal(cursor, time.monotonic() + busy_ms / 1_000)
    cursor.execute("PRAGMA synchronous = FULL")  # WAL with NORMAL may lose the last commits with the power
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten, not only let go of
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.execute("PRAGMA journal_size_limit = 67108864")
    cursor.execute("PRAGMA wal_autocheckpoint = 4000")  # 16 MB: a page that many sales touch is copied once
    cursor.close()


def _turn_on_wal(cursor: Any, until_s: float) -> None:
    """SQLite does not wait for this one lock, so we do: several workers may open a new file at once."""
    while True:
        try:
            if cursor.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
                return
        except SQLiteError:
            if time.monotonic() > until_s:
                raise
        time.sleep(0.005)


def _begin_sqlite(conn: Connection) -> None:
    writes = conn.get_execution_options().get(_WRITES, False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _open_postgresql(url: URL, busy_ms: int, pool_size: int) -> Engine:
    def create(conn: Any, _: ConnectionPoolEntry) -> None:
        # not by the `options` of the connect: a pgbouncer in between would refuse them
        with conn.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {int(busy_ms)}")
            cursor.execute(f"SET statement_timeout = {STATEMENT_MS}")
            cursor.execute("SET idle_in_transaction_session_timeout = 60000")
        conn.commit()

    wait_s = max(2, -(-busy_ms // 1_000))  # libpq counts in seconds and takes none below 2
    defaults = {"connect_timeout": wait_s, "tcp_user_timeout": STATEMENT_MS, "application_name": "auction"}
    defaults |= _KEEPALIVE
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=busy_ms / 1_000,
        pool_pre_ping=True,  # a server that was restarted costs a ping of the line, not a failed post
        connect_args={name: value for name, value in defaults.items() if name not in url.query},
        hide_parameters=True,
    )
    event.listen(engine, "connect", create)
    return engine
