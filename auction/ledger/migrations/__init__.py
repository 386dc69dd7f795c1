"""Brings a database to the schema of this code. Run at every start, by every worker at once; one does the
work."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from auction.errors import OperatorError
from auction.ledger.engine import is_postgresql, writing
from auction.ledger.faults import away, is_away

WAIT_MS: Final = 30_000
"""How long the others wait for the one that migrates."""
_LOCK: Final = 0x0A0C_71_0E


def upgrade(engine: Engine, *, wait_ms: int = WAIT_MS) -> None:
    """Applies what is missing, all in one transaction; returns at once where nothing is.

    Raises `HouseError` where the database does not answer or another migrates for longer than `wait_ms`;
    `OperatorError` where the database was made by a later version of the exchange.
    """
    try:
        with writing(engine).connect() as conn:
            _migrate(conn, wait_ms)
    except DBAPIError as error:
        if is_away(error):
            raise away() from error
        raise
    except CommandError as error:
        raise OperatorError(
            "ledger_too_new", f"the ledger was made by a later version of the exchange: {error}"
        ) from error


def _migrate(conn: Connection, wait_ms: int) -> None:
    if is_postgresql(conn):
        with conn.begin():
            conn.exec_driver_sql(f"SET LOCAL lock_timeout = {int(wait_ms)}")
            conn.exec_driver_sql("SET LOCAL statement_timeout = 0")
            conn.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            _to_head(conn)
        return
    raw = conn.connection.cursor()  # the pragma has to come before BEGIN, which takes the lock
    (before_ms,) = raw.execute("PRAGMA busy_timeout").fetchone()
    raw.execute(f"PRAGMA busy_timeout = {int(wait_ms)}")
    try:
        with conn.begin():
            _to_head(conn)
    finally:
        raw.execute(f"PRAGMA busy_timeout = {before_ms}")


def _to_head(conn: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
