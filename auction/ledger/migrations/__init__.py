"""Brings a database to the schema of this code. Run at every start, by every worker at once; one does the
work.

Nearly always there is nothing to do. So Alembic, which takes as long to import as the rest of the ledger, is imported
only where there is, and nobody waits for a lock before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from auction.errors import OperatorError
from auction.ledger.engine import is_postgresql, writing
from auction.ledger.faults import away, is_away, is_forbidden

HEAD: Final = "0014"
"""The last migration: no other names it as the one before."""
WAIT_MS: Final = 30_000
"""How long the others wait for the one that migrates."""
_LOCK: Final = 0x0A0C_71_0E


def upgrade(engine: Engine, *, wait_ms: int = WAIT_MS) -> None:
    """Applies what is missing, all in one transaction; returns at once where nothing is.

    Raises `HouseError` where the database does not answer or another migrates for longer than `wait_ms`;
    `OperatorError` where the database was made by a later version of the exchange, or forbids us to make its tables.
    """
    try:
        with engine.connect() as conn:
            there = _version_of(conn)
        if there != HEAD:
            with writing(engine).connect() as conn:
                _migrate(conn, wait_ms)
    except DBAPIError as error:
        if is_away(error):
            raise away() from error
        if is_forbidden(error):
            raise OperatorError(
                "ledger_forbidden",
                f"the database user {engine.url.username!r} may not make tables here: GRANT CREATE ON SCHEMA to it, or "
                "set its search_path to a schema that it owns",
            ) from error
        raise


def _version_of(conn: Connection) -> str | None:
    """The last migration that was applied; None in a new database."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    version: str | None = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return version


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
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise OperatorError(
            "ledger_too_new", f"the ledger was made by a later version of the exchange: {error}"
        ) from error
